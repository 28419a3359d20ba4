# Writes <out>.h and <out>.c: every file of schemas/ as a constant, in the order given (by name).

function quoted(s)
{
    gsub(/[\\"?]/, "\\\\&", s) # "?" because of trigraphs
    gsub(/\t/, "\\t", s)
    gsub(/\r/, "\\r", s)
    return "\"" s "\\n\""
}

BEGIN {
    h = out ".h"
    c = out ".c"
    print "/* Generated from schemas/; do not edit. */\n#pragma once\n" > h
    print "#include <stddef.h>\n" > h
    print "struct schema_file {\n    const char *name; /* \"commands/user.put\" */" > h
    print "    const char *text;\n    size_t length;\n};" > h
    print "extern const struct schema_file schema_files[]; /* sorted by name */" > h
    print "extern const int schema_files_n;" > h
    print "/* Generated from schemas/; do not edit. */\n#include \"schemas.h\"\n" > c
    n = 0
    for (i = 1; i < ARGC; i++) {
        path = ARGV[i]
        if (path == "/dev/null")
            continue
        name = path
        sub(/^(.*\/)?schemas\//, "", name)
        sub(/\.json$/, "", name)
        names[n] = name
        print "static const char text_" n "[] =" > c
        while ((status = (getline line < path)) > 0)
            print "    " quoted(line) > c
        if (status < 0) {
            print "schemas.awk: cannot read " path > "/dev/stderr"
            exit 1
        }
        close(path)
        print "    \"\";\n" > c
        n++
    }
    print "const struct schema_file schema_files[] = {" > c
    for (i = 0; i < n; i++)
        print "    {\"" names[i] "\", text_" i ", sizeof(text_" i ") - 1}," > c
    print "    {0},\n};\nconst int schema_files_n = " n ";" > c
    exit 0
}
