#include "drivers/driver.h"

#include <string.h>

const struct driver_type *const driver_types[] = {&driver_wireguard, &driver_simulated, NULL};

const struct driver_type *driver_type_find(const char *name)
{
    for (size_t i = 0; driver_types[i]; i++)
        if (strcmp(driver_types[i]->name, name) == 0)
            return driver_types[i];
    return NULL;
}
