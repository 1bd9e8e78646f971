#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of doc/architecture.md that a machine can check.

arch.py symbols SOURCE LIBRARY...  core libraries need of libc only what neither acts nor asks
arch.py includes SOURCE            each room includes only the rooms it may
arch.py style SOURCE               lengths, licence lines, unfinished work, clang-format
"""
import os
import re
import shutil
import subprocess
import sys

# What each room may include, itself aside; the base room is everybody's.
ROOMS = {
    'core/base': [],
    'core/conf': [],
    'core/wire': [],
    'core/disk': [],
    'core/service': [],
    'core/repl': ['core/wire', 'core/disk'],
    'core/cluster': ['core/wire'],
    'host/loop': [],
    'host/crypto': [],
    'host/net': ['host/loop'],
    'host/store': ['host/loop'],
    'host/front': ['host/loop', 'core/wire'],
    'host/agent': ['host/loop'],
    'host/ctl': ['host/loop'],
}

# No header of the system gives a core room a way to act; these give types, text and memory.
CORE_HEADERS = {'assert.h', 'ctype.h', 'errno.h', 'inttypes.h', 'limits.h', 'stdalign.h', 'stdarg.h',
                'stdbool.h', 'stddef.h', 'stdint.h', 'stdio.h', 'stdlib.h', 'string.h', 'strings.h'}

# stdio.h and stdlib.h also declare what a core room may not call: so the symbols are checked as well.
# (bcmp is what clang makes of a memcmp whose sign nobody asks for.)
CORE_SYMBOLS = set('''
    abort bsearch calloc free malloc qsort realloc reallocarray
    bcmp memchr memcmp memcpy memmem memmove memrchr memset
    snprintf vsnprintf sscanf
    stpcpy strcasecmp strchr strchrnul strcmp strcpy strcspn strdup strlen strncasecmp strncat
    strncmp strncpy strndup strnlen strpbrk strrchr strsep strspn strstr strtok_r
    strtol strtoll strtoul strtoull
    __ctype_b_loc __ctype_tolower_loc __ctype_toupper_loc tolower toupper __errno_location
'''.split())
# The compiler's own, a fortified or versioned form of an allowed one, and what sanitizers add.
COMPILER = re.compile(r'^(_GLOBAL_OFFSET_TABLE_|__(popcount|clz|ctz|bswap|u?div|u?mod|mul)[a-z]*\d|'
                      r'__stack_chk_fail|__(asan|ubsan|sanitizer|gcov|llvm)_|__isoc\d\d_|__(?P<f>\w+)_chk$)')

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70


def files(top, folders, endings):
    for folder in folders:
        for where, _, names in sorted(os.walk(os.path.join(top, folder))):
            for name in sorted(names):
                if name.endswith(endings):
                    yield os.path.relpath(os.path.join(where, name), top)


def read(top, path):
    with open(os.path.join(top, path), encoding='utf-8') as file:
        return file.read()


def symbols(libraries):
    defined, wanted = set(), []
    for library in libraries:
        out = subprocess.run(['nm', '-A', library], stdout=subprocess.PIPE, text=True, check=True).stdout
        for line in out.splitlines():
            fields = line.split()
            if len(fields) >= 2 and fields[-2] in 'TDBRVWC':
                defined.add(fields[-1])
            elif len(fields) >= 2 and fields[-2] == 'U':
                wanted.append((os.path.basename(library), fields[0].split(':')[-2], fields[-1]))
    for library, member, name in wanted:
        plain = re.sub(r'^__isoc\d\d_', '', name)
        compiler = COMPILER.match(name)
        if compiler and compiler.group('f'):
            plain = compiler.group('f')
        elif compiler and plain == name:
            continue
        if plain not in CORE_SYMBOLS and name not in defined:
            yield f'{library}({member}): {name} is not for the core'


def includes(top):
    rooms = {}
    for path in files(top, ['src/core', 'src/host'], '.h'):
        rooms[os.path.basename(path)] = '/'.join(path.split('/')[1:3])
    for path in files(top, ['src/core', 'src/host'], ('.c', '.h')):
        room = '/'.join(path.split('/')[1:3])
        if room not in ROOMS:
            yield f'{path}: the room {room} is not in the table of rooms'
            continue
        for number, line in enumerate(read(top, path).splitlines(), 1):
            found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not found:
                continue
            kind, name = found.groups()
            if kind == '<' and room.startswith('core/') and name not in CORE_HEADERS:
                yield f'{path}:{number}: <{name}> is not for the core'
            if kind == '<' and name == 'liburing.h' and room != 'host/loop':
                yield f'{path}:{number}: liburing belongs to host/loop'
            if kind == '"':
                owner = rooms.get(os.path.basename(name))
                if owner is None:
                    yield f'{path}:{number}: "{name}" belongs to no room'
                elif owner not in (room, 'core/base') and owner not in ROOMS[room]:
                    yield f'{path}:{number}: {room} may not include {owner} ("{name}")'


def long_functions(path, text):
    """A function's body starts with a brace in the first column; a table's does not."""
    start = None
    for number, line in enumerate(text.splitlines(), 1):
        if line == '{':
            start = number
        elif line.startswith('}') and start is not None:
            if number - start - 1 > FUNCTION_LINES_MAX:
                yield f'{path}:{start}: a function of {number - start - 1} lines'
            start = None


def style(top):
    unfinished = re.compile(r'\b(TO' r'DO|FIX' r'ME|XX' r'X|HA' r'CK)\b')
    folders = ['src', 'sim', 'lab', 'tests']
    for path in files(top, folders, ('.c', '.h', '.sh', '.py', 'meson.build')):
        text = read(top, path)
        lines = text.splitlines()
        if not any('SPDX-License-Identifier: Apache-2.0' in line for line in lines[:2]):
            yield f'{path}:1: no licence line'
        if len(lines) > FILE_LINES_MAX:
            yield f'{path}: {len(lines)} lines'
        for number, line in enumerate(lines, 1):
            if unfinished.search(line):
                yield f'{path}:{number}: unfinished: {line.strip()}'
        if path.endswith('.c') and path.startswith(('src/', 'sim/')):
            yield from long_functions(path, text)
    sources = list(files(top, folders, ('.c', '.h')))
    if shutil.which('clang-format') is None:
        print('clang-format is not installed: the layout was not checked')
        return
    out = subprocess.run(['clang-format', '--dry-run', '--style=file'] + sources, cwd=top,
                         stderr=subprocess.PIPE, text=True, check=False).stderr
    for path in sorted(set(re.findall(r'^([^\s:]+):\d+:\d+: warning: code should be', out, re.M))):
        yield f'{path}: not as clang-format has it'


def main():
    verb, top = sys.argv[1], sys.argv[2]
    checks = {'symbols': lambda: symbols(sys.argv[3:]),
              'includes': lambda: includes(top),
              'style': lambda: style(top)}
    wrong = list(checks[verb]())
    for line in wrong:
        print(line)
    return 1 if wrong else 0


sys.exit(main())
