# Writes <out>.h and <out>.c: every file of workers/gateway/page/ as a constant, in the order given.

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
    print "/* Generated from workers/gateway/page/; do not edit. */\n#pragma once\n" > h
    print "#include <stddef.h>\n" > h
    print "struct page_file {\n    const char *name; /* \"index.html\" */" > h
    print "    const char *text;\n    size_t length;\n};" > h
    print "extern const struct page_file page_files[]; /* ends with a name of NULL */" > h
    print "/* Generated from workers/gateway/page/; do not edit. */\n#include \"page_files.h\"\n" > c
    n = 0
    for (i = 1; i < ARGC; i++) {
        path = ARGV[i]
        if (path == "/dev/null")
            continue
        name = path
        sub(/.*\//, "", name)
        names[n] = name
        print "static const char text_" n "[] =" > c
        while ((status = (getline line < path)) > 0)
            print "    " quoted(line) > c
        if (status < 0) {
            print "page.awk: cannot read " path > "/dev/stderr"
            exit 1
        }
        close(path)
        print "    \"\";\n" > c
        n++
    }
    print "const struct page_file page_files[] = {" > c
    for (i = 0; i < n; i++)
        print "    {\"" names[i] "\", text_" i ", sizeof(text_" i ") - 1}," > c
    print "    {0},\n};" > c
    exit 0
}
