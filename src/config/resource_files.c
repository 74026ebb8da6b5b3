/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and folders of resources, read whole.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/config.h"
#include "config/file.h"
#include "config/resources.h"

static bool has_ending(const char *name)
{
    size_t len = strlen(name);
    return name[0] != '.' && ((len > 5 && strcmp(name + len - 5, ".yaml") == 0) ||
                              (len > 4 && strcmp(name + len - 4, ".yml") == 0));
}

static int wanted(const struct dirent *entry)
{
    return has_ending(entry->d_name);
}

static enum err add_file(const char *path, struct config_errors *errors,
                         struct resources_files *out)
{
    char *text = NULL;
    size_t len = 0;

    enum err err = file_read(strcmp(path, "-") == 0 ? "/dev/stdin" : path, CONFIG_TEXT_MAX, errors,
                             &text, &len);
    if (err)
        return err;
    struct resources_source *items = realloc(out->items, (out->count + 1) * sizeof *items);
    if (items != NULL)
        out->items = items;
    char **owned = realloc(out->owned, 2 * (out->count + 1) * sizeof *owned);
    if (owned != NULL)
        out->owned = owned;
    char *name = strdup(path);
    if (items == NULL || owned == NULL || name == NULL) {
        free(name);
        free(text);
        return ERR_MEMORY;
    }
    owned[2 * out->count] = name;
    owned[2 * out->count + 1] = text;
    items[out->count++] = (struct resources_source){name, {text, len}};
    return OK;
}

static enum err add_folder(const char *path, struct config_errors *errors,
                           struct resources_files *out)
{
    struct dirent **names = NULL;
    enum err err = OK;

    int count = scandir(path, &names, wanted, alphasort);
    if (count < 0) {
        config_errors_add(errors, path, 0, 0, NULL, "cannot be opened: %s", strerror(errno));
        return ERR_IO;
    }
    if (count == 0) {
        config_errors_add(errors, path, 0, 0, NULL, "has no *.yaml or *.yml; name a file");
        err = ERR_NOT_FOUND;
    }
    for (int i = 0; i < count; i++) {
        char file[4096];
        int len = snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        enum err this =
            len > 0 && (size_t)len < sizeof file ? add_file(file, errors, out) : ERR_TOO_BIG;
        err = err ? err : this;
        free(names[i]);
    }
    free(names);
    return err;
}

enum err resources_read_files(const char *const *paths, size_t count, struct config_errors *errors,
                              struct resources_files *out)
{
    struct resources_files files = {0};
    enum err err = OK;

    for (size_t i = 0; i < count; i++) {
        struct stat about;
        bool folder = stat(paths[i], &about) == 0 && S_ISDIR(about.st_mode);
        enum err this =
            folder ? add_folder(paths[i], errors, &files) : add_file(paths[i], errors, &files);
        err = err ? err : this;
    }
    if (err) {
        resources_files_release(&files);
        return err;
    }
    *out = files;
    return OK;
}

void resources_files_release(struct resources_files *files)
{
    for (size_t i = 0; i < 2 * files->count; i++)
        free(files->owned[i]);
    free(files->owned);
    free(files->items);
    *files = (struct resources_files){0};
}
