#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sum a callgrind file: self instructions by source file or area and by function, and calls by callee.
   cgsum.py FILE [transactions]"""
import re, sys, collections
f, n = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 1
names, fn, fl, fi, skip = {}, None, None, None, False
self_fn, self_file, calls = collections.Counter(), collections.Counter(), collections.Counter()
files = {}
def res(d, s):
    m = re.match(r'\((\d+)\)(?: (.*))?$', s)
    if not m: return s
    if m[2]: d[m[1]] = m[2]
    return d.get(m[1], '?')
cfn = None
for l in open(f):
    l = l.rstrip('\n')
    if l.startswith('fn='): fn = res(names, l[3:])
    elif l.startswith('cfn='): cfn = res(names, l[4:])
    elif l.startswith(('fl=', 'fi=', 'fe=')): fi = res(files, l[3:])
    elif l.startswith(('cfi=', 'cfl=')): res(files, l[4:])
    elif l.startswith('calls='): calls[re.sub(r"'\d+$", '', cfn)] += int(l[6:].split()[0]); skip = True
    elif l and (l[0].isdigit() or l[0] in '+-*'):
        if skip: skip = False; continue
        p = l.split()
        if len(p) >= 2 and p[1].isdigit(): self_fn[re.sub(r"'\d+$", '', fn)] += int(p[1]); self_file[fi] += int(p[1])
tot = sum(self_fn.values())
print(f'total {tot} = {tot / n:.0f} each')
print('--- files'); 
for k, v in self_file.most_common(40): print(f'{v / n:9.0f} {100 * v / tot:5.1f}% {(k or "?")}')
print('--- functions')
for k, v in self_fn.most_common(40): print(f'{v / n:9.0f} {100 * v / tot:5.1f}% {k}')
print('--- calls')
for k, v in calls.most_common(400):
    if re.search(r'malloc|free|memcpy|memset|memmove|strncasecmp|recvfrom|sendto|parse_(headers|uri|via|to|msg|addr)|get_hdr_field|futex|build_|epoll|gettime|MD5Transform|sip_msg|lock', k) and v / n > .5: print(f'{v / n:8.1f} {k}')
