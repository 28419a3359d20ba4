/* schema_files — the embedded files of schemas/ that are JSON Schemas, each compiled once. */
#include "core/schema.h"

#include "schemas.h"

#include <string.h>

static struct schema **compiled; /* one per file; lives as long as the process */

static bool is_schema(const char *name)
{
    return strchr(name, '/') != NULL; /* tables lie beside the folders */
}

static const struct schema *compiled_at(int i, struct err *err)
{
    if (!compiled)
        compiled = calloc((size_t)schema_files_n, sizeof(struct schema *));
    if (!compiled) {
        err_set(err, ERR_NO_MEMORY, "schemas");
        return NULL;
    }
    if (!compiled[i])
        compiled[i] = schema_compile(schema_files[i].text, schema_files[i].length, err);
    if (!compiled[i])
        err_wrap(err, "schemas/%s.json", schema_files[i].name);
    return compiled[i];
}

bool schema_load_all(struct err *err)
{
    for (int i = 0; i < schema_files_n; i++)
        if (is_schema(schema_files[i].name) && !compiled_at(i, err))
            return false;
    return true;
}

const struct schema *schema_find(const char *name)
{
    for (int low = 0, high = schema_files_n; low < high;) {
        int middle = low + (high - low) / 2;
        int order = strcmp(name, schema_files[middle].name);
        if (order == 0)
            return is_schema(name) ? compiled_at(middle, NULL) : NULL;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
