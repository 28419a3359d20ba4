# Writes <out>.h and <out>.c from the files given: sql/migrations/NNNN_*.sql in order of version,
# sql/queries/*.sql in order of name. Any content; one C literal per line, so that length is no
# matter. A query's number of parameters is its highest $n outside line comments.
#
# Files are read with getline, so that an empty one is seen too.

function quoted(s)
{
    gsub(/[\\"?]/, "\\\\&", s) # "?" because of trigraphs
    gsub(/\t/, "\\t", s)
    gsub(/\r/, "\\r", s)
    return "\"" s "\\n\""
}

function base(path)
{
    sub(/.*\//, "", path)
    sub(/\.sql$/, "", path)
    return path
}

function emit(path,    line, code, n, lines)
{
    highest = 0
    lines = 0
    while ((status = (getline line < path)) > 0) {
        print "     " quoted(line) > c
        lines++
        code = line
        sub(/--.*/, "", code)
        while (match(code, /\$[0-9]+/)) {
            n = substr(code, RSTART + 1, RLENGTH - 1) + 0
            if (n > highest)
                highest = n
            code = substr(code, RSTART + RLENGTH)
        }
    }
    if (status < 0) {
        print "sql.awk: cannot read " path > "/dev/stderr"
        exit 1
    }
    close(path)
    if (!lines)
        print "     \"\"" > c
}

BEGIN {
    h = out ".h"
    c = out ".c"
    print "/* Generated from sql/; do not edit. */" > h
    print "#pragma once\n" > h
    print "struct sql_query {\n    const char *name;\n    const char *text;\n    int params;\n};" > h
    print "enum sql_id {" > h
    print "/* Generated from sql/; do not edit. */" > c
    print "#include \"sql.h\"\n" > c
    print "const struct sql_migration sql_migrations[] = {" > c
    migrations = queries = 0
    for (i = 1; i < ARGC; i++) {
        path = ARGV[i]
        if (path == "/dev/null")
            continue
        if (path !~ /(^|\/)migrations\//) {
            todo[++queries] = path
            continue
        }
        name = base(path)
        if (name !~ /^[0-9]+_/) {
            print "sql.awk: " path ": a migration is called NNNN_what_it_does.sql" > "/dev/stderr"
            exit 1
        }
        version = name + 0
        if (migrations && version <= before) {
            print "sql.awk: " path ": version " version " is there twice" > "/dev/stderr"
            exit 1
        }
        before = version
        migrations++
        print "    {" version ", \"" name "\"," > c
        emit(path)
        print "    }," > c
    }
    print "    {0},\n};\nconst int sql_migrations_n = " migrations ";\n" > c

    # One row more than there are queries, so that the array is never empty.
    print "const struct sql_query sql_queries[SQL_COUNT + 1] = {" > c
    for (i = 1; i <= queries; i++) {
        name = base(todo[i])
        id = toupper(name)
        gsub(/[^A-Z0-9]/, "_", id)
        print "    SQL_" id "," > h
        print "    {\"" name "\"," > c
        emit(todo[i])
        print "     , " highest "}," > c
    }
    print "    {0},\n};" > c
    print "    SQL_COUNT\n};" > h
    print "extern const struct sql_query sql_queries[SQL_COUNT + 1];\n" > h
    print "struct sql_migration {\n    int version;\n    const char *name; /* \"0001_init\" */" > h
    print "    const char *text;\n};" > h
    print "extern const struct sql_migration sql_migrations[];" > h
    print "extern const int sql_migrations_n;" > h
    exit 0
}
