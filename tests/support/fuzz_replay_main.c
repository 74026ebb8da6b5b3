// SPDX-License-Identifier: Apache-2.0
/*
 * Replays a fuzz corpus without libFuzzer: feeds every file of the folders (and every file) named
 * on the command line to LLVMFuzzerTestOneInput, so that gcc's sanitizers see it too. Each input
 * lies in a block of exactly its size, so that one byte read too far is found.
 *
 * Prints "replayed N" and exits with 0; exits with 1 when a file cannot be read, or none was there.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Feeds the file at `path`; false when it cannot be read whole. */
static bool replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;

    uint8_t *data = malloc(size > 0 ? size : 1);
    bool whole = data != NULL && fread(data, 1, size, file) == size;
    fclose(file);
    if (whole)
        LLVMFuzzerTestOneInput(data, size);
    free(data);
    return whole;
}

/* Feeds what is at `path`, a file or a folder of files; false on the first that cannot be read. */
static bool replay(const char *path, size_t *count)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return false;
    if (!S_ISDIR(info.st_mode)) {
        *count += 1;
        return replay_file(path, (size_t)info.st_size);
    }

    struct dirent **entries = NULL;
    int entry_count = scandir(path, &entries, NULL, alphasort);
    if (entry_count < 0)
        return false;

    bool good = true;
    for (int i = 0; i < entry_count; i++) {
        char *inner = NULL;
        if (good && entries[i]->d_name[0] != '.') {
            good = asprintf(&inner, "%s/%s", path, entries[i]->d_name) >= 0 && replay(inner, count);
            if (!good)
                fprintf(stderr, "cannot read %s\n", inner != NULL ? inner : path);
            free(inner);
        }
        free(entries[i]);
    }
    free(entries);
    return good;
}

int main(int argc, char **argv)
{
    size_t count = 0;

    for (int i = 1; i < argc; i++) {
        if (!replay(argv[i], &count)) {
            fprintf(stderr, "cannot replay %s\n", argv[i]);
            return 1;
        }
    }
    printf("replayed %zu\n", count);
    return count > 0 ? 0 : 1;
}
