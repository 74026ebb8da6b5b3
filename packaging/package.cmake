# What `cmake --install` puts where, and the Debian package: cpack --config build/release/CPackConfig.cmake

include(GNUInstallDirs)
install(FILES packaging/strowger.service DESTINATION /usr/lib/systemd/system)
install(PROGRAMS packaging/raise-socket-buffers DESTINATION /usr/lib/strowger)
install(FILES packaging/strowger.yaml DESTINATION /etc/strowger)
install(FILES README.md CHANGELOG.md docs/operate.md docs/configuration.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)
install(FILES examples/first-call.yaml DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME strowger)
set(CPACK_PACKAGE_CONTACT "The Strowger engineers <strowger@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_DESCRIPTION "Strowger registers phones and routes calls between phones, departments,
locations and carriers. One program with an embedded store; everything else is optional.")
set(CPACK_PACKAGE_DIRECTORY "${PROJECT_SOURCE_DIR}/build")
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION comm)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${PROJECT_SOURCE_DIR}/packaging/conffiles")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
