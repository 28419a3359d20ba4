# Writes <out>.h and <out>.c: files of the folder <from> as constants, struct <of>_file, in the order given. A
# name is the path below <from> without the ending <ext>.

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
    print "/* Generated from " from "; do not edit. */\n#pragma once\n" > h
    print "#include <stddef.h>\n" > h
    print "struct " of "_file {\n    const char *name; /* below " from (ext ? ", without " ext : "") " */" > h
    print "    const char *text;\n    size_t length;\n};" > h
    print "extern const struct " of "_file " of "_files[]; /* sorted by name; ends with a name of NULL */" > h
    print "extern const int " of "_files_n;" > h
    base = out
    sub(/.*\//, "", base)
    print "/* Generated from " from "; do not edit. */\n#include \"" base ".h\"\n" > c
    n = 0
    for (i = 1; i < ARGC; i++) {
        path = ARGV[i]
        if (path == "/dev/null")
            continue
        name = path
        at = index(name, from)
        name = substr(name, at ? at + length(from) : 1)
        if (ext && substr(name, length(name) - length(ext) + 1) == ext)
            name = substr(name, 1, length(name) - length(ext))
        names[n] = name
        print "static const char text_" n "[] =" > c
        while ((status = (getline line < path)) > 0)
            print "    " quoted(line) > c
        if (status < 0) {
            print "files.awk: cannot read " path > "/dev/stderr"
            exit 1
        }
        close(path)
        print "    \"\";\n" > c
        n++
    }
    print "const struct " of "_file " of "_files[] = {" > c
    for (i = 0; i < n; i++)
        print "    {\"" names[i] "\", text_" i ", sizeof(text_" i ") - 1}," > c
    print "    {0},\n};\nconst int " of "_files_n = " n ";" > c
    exit 0
}
