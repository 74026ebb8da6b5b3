#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Side-by-side benchmark of SIP servers on loopback.

  bench.py run    -w D,B,H -s kam,own --reps 5   CPU per transaction -> out/results.jsonl
  bench.py ramp   -w D -s kam,own --reps 3       highest clean open-loop rate
  bench.py mem    -w B,G -s kam,own              bytes per contact / per live call
  bench.py instr  -w D -s kam,own                user instructions per call (callgrind)
  bench.py perf   -w D -s kam                          perf profile of the worker, -> out/perf-*.txt
  bench.py report                                        medians and ratios of out/results.jsonl

The server is pinned to core 0, the load generator to core 1.  The server's
CPU time is the sum over its process tree of /proc/PID/task/*/schedstat.
A third server: set OWN_CMD, a shell command that stays in the foreground and
listens on udp:127.0.0.1:5060; {w} is replaced by the workload letter and
{children} by the worker count, {bind} by the address (BENCH_IP:BENCH_PORT).  See README.md.
"""
import argparse, glob, json, os, re, shlex, signal, socket, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.environ.get('BENCH_OUT', HERE + '/out')
SRV_CPU, GEN_CPU = int(os.environ.get('SRV_CPU', 0)), int(os.environ.get('GEN_CPU', 1))
IP = os.environ.get('BENCH_IP', '127.0.0.1')     # server, UAC (:7060) and UAS (:7070) all use this loopback address
ADDR = (IP, int(os.environ.get('BENCH_PORT', 5060)))
BIND = f'{IP}:{ADDR[1]}'
LOAD = OUT + '/sipload'
SHM = os.environ.get('SHM_MB', '2048')

def kamailio(sbin, mods):
    def cmd(w, children, extra=()):
        cfg = OUT + '/kamailio.cfg'
        open(cfg, 'w').write(open(HERE + '/cfg/kamailio.cfg').read().replace('@OUT@', OUT).replace('@CFG@', HERE + '/cfg'))
        defs = sum((['-A', d] for d in [f'WL_{w}', f'CHILDREN={children}', f'MPATH="{mods}"', f'BIND={BIND}', *extra]), [])
        return [sbin, '-f', cfg, '-DD', '-E', '-m', SHM, '-M', '32', '-x', 'fm', '-X', 'fm',
                '-w', OUT, '-Y', OUT, *defs]
    return cmd

def own(w, children, extra=()):
    c = os.environ.get('OWN_CMD')
    if not c: sys.exit('set OWN_CMD')
    return ['/bin/sh', '-c', 'exec ' + c.replace('{w}', w).replace('{children}', str(children)).replace('{bind}', BIND)]

def relay(mode):
    return lambda w, children, extra=(): [OUT + '/relay', '-m', mode, '-t', '-l', BIND, '-u', f'{IP}:7070']

KAM = kamailio('/usr/sbin/kamailio', '/usr/lib/x86_64-linux-gnu/kamailio/modules/')
SYS = {  # name: (command maker, workers)
    'kam': (KAM, 1), 'kamc4': (KAM, 4), 'own': (own, 1), 'ownc4': (own, 4),
    'relay-plain': (relay('plain'), 1), 'relay-poll': (relay('poll'), 1), 'relay-mmsg': (relay('mmsg'), 1),
}

def tree(root):
    kids = {}
    for d in glob.glob('/proc/[0-9]*'):
        try: s = open(d + '/stat').read()
        except OSError: continue
        kids.setdefault(int(s[s.rindex(')') + 2:].split()[1]), []).append(int(d[6:]))
    r, q = [], [root]
    while q:
        p = q.pop(); r.append(p); q += kids.get(p, [])
    return r

def cpu(pids):
    """run time in ns (exact), and user and system ticks (sampled)"""
    ns = ut = stt = 0
    for p in pids:
        for t in glob.glob(f'/proc/{p}/task/*'):
            try:
                ns += int(open(t + '/schedstat').read().split()[0])
                s = open(t + '/stat').read(); f = s[s.rindex(')') + 2:].split()
                ut += int(f[11]); stt += int(f[12])
            except OSError: pass
    return ns, ut, stt

def ctxt(pids):
    n = 0
    for p in pids:
        for t in glob.glob(f'/proc/{p}/task/*'):
            try: n += sum(int(x) for x in re.findall(r'ctxt_switches:\s+(\d+)', open(t + '/status').read()))
            except OSError: pass
    return n

def mem(pids):
    """PSS, RSS-anonymous and shared of the tree, bytes"""
    tot = dict.fromkeys(('Pss', 'Pss_Anon', 'Pss_Shmem', 'Private_Dirty'), 0)
    for p in pids:
        try: txt = open(f'/proc/{p}/smaps_rollup').read()
        except OSError: continue
        for k in tot:
            m = re.search(rf'^{k}:\s+(\d+)', txt, re.M)
            if m: tot[k] += int(m[1]) * 1024
    return tot

def steal():
    f = [int(x) for x in open('/proc/stat').readline().split()[1:]]; return f[7]
def busy():
    f = [int(x) for x in open('/proc/stat').readline().split()[1:]]; return (sum(f[:8]) - f[3] - f[4]) / 100

def bound():
    """is the server's address taken?  Both peers set SO_REUSEADDR, so a leftover server would share it unseen"""
    a = {f'{int.from_bytes(socket.inet_aton(IP), "little"):08X}:{ADDR[1]:04X}', f'00000000:{ADDR[1]:04X}'}
    return any(l.split()[1] in a for l in open('/proc/net/udp').readlines()[1:])

class Server:
    def __init__(self, name, w, extra=(), wrap=(), wait=20):
        if bound(): sys.exit(f'udp {BIND} is taken: another server runs')
        mk, children = SYS[name]
        self.log = open(f'{OUT}/{name}-{w}.log', 'w')
        def pre():
            os.setsid(); os.sched_setaffinity(0, {SRV_CPU})
            try: os.setpriority(os.PRIO_PROCESS, 0, -15)
            except PermissionError: pass
        self.cmd = [*wrap, *mk(w, children, extra)]
        self.p = subprocess.Popen(self.cmd, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, preexec_fn=pre, cwd=OUT)
        end = time.time() + wait; ok = name.startswith('relay')
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((IP, 7099)); s.settimeout(.2)
        time.sleep(.3)
        while not ok and time.time() < end and self.p.poll() is None:
            s.sendto((f'OPTIONS sip:{BIND} SIP/2.0\r\nVia: SIP/2.0/UDP {IP}:7099;branch=z9hG4bK{time.time_ns()}\r\nMax-Forwards: 70\r\n'
                      f'From: <sip:p@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: {time.time_ns()}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n').encode(), ADDR)
            try: ok = s.recv(4096).startswith(b'SIP/2.0')
            except OSError: pass
        s.close()
        if not ok: self.stop(); raise RuntimeError(f'{name}/{w} did not start: see {self.log.name}')
        time.sleep(.7)
        self.pids = tree(self.p.pid)
    def stop(self):
        pids = tree(self.p.pid)
        if self.p.poll() is None: self.p.send_signal(signal.SIGTERM)
        try: self.p.wait(8)
        except subprocess.TimeoutExpired: pass
        for p in pids:
            try:
                if os.path.exists(f'/proc/{p}'): os.kill(p, signal.SIGKILL)
            except OSError: pass
        try: self.p.wait(5)
        except subprocess.TimeoutExpired: pass
        self.log.close()
    def __enter__(self): return self
    def __exit__(self, *a): self.stop()

def load(args, timeout=120, popen=False):
    if isinstance(args, float): time.sleep(args); return {'failed': 0, 'done': 0, 'started': 0}
    def pre():
        os.sched_setaffinity(0, {GEN_CPU})
        try: os.setpriority(os.PRIO_PROCESS, 0, -15)
        except PermissionError: pass
    p = subprocess.Popen([LOAD, '-s', BIND, '-l', f'{IP}:7060', '-u', f'{IP}:7070', *shlex.split(args)], stdout=subprocess.PIPE, text=True, preexec_fn=pre)
    if popen: return p
    try: o, _ = p.communicate(timeout=timeout)
    except subprocess.TimeoutExpired: p.terminate(); o, _ = p.communicate()
    return json.loads(o.strip().splitlines()[-1])

CALL = '-m call -N 10000 -H 100 -R 5'
FCALL = CALL + f' -u 0.0.0.0:7070 -C {IP}:7070'
# workload: (setup loads, {phase: load})
WL = {
    'A': (['-m options -n 2000 -w 8'], {'sat': '-m options -n 100000 -w 64', 'rate': '-m options -n 24000 -r 4000'}),
    'B': ([], {'new': '-m register -n 100000 -N 100000 -w 64', 'sat': '-m register -n 100000 -N 100000 -w 64', 'rate': '-m register -n 16000 -N 100000 -r 3000'}),
    'C': (['-m register -a -n 20000 -N 20000 -w 64'], {'sat': '-m register -a -n 60000 -N 20000 -w 64', 'rate': '-m register -a -n 10000 -N 20000 -r 1500'}),
    # Warm-up: first touch of shared memory costs more than the call itself in a virtual machine, so a larger run
    # goes first, and then a pause longer than the 5 s for which transactions linger frees that memory again.
    'D': (['-m register -n 10000 -N 10000 -w 64', CALL + ' -n 20000 -w 200', 6.5],
          {'sat': CALL + ' -n 14000 -w 200', 'rate': CALL + ' -n 6000 -r 1000', 'sat2': CALL + ' -n 14000 -w 200'}),
    'H': ([CALL + ' -n 20000 -w 200'], {'sat': CALL + ' -n 60000 -w 200', 'rate': CALL + ' -n 6000 -r 1000', 'sat2': CALL + ' -n 60000 -w 200'}),
    'F': ([FCALL + ' -n 20000 -w 200', 6.5],
          {'sat': FCALL + ' -n 14000 -w 200', 'rate': FCALL + ' -n 6000 -r 1000', 'sat2': FCALL + ' -n 14000 -w 200'}),
}
WL['E'] = WL['G'] = WL['D']

def measure(srv, args):
    time.sleep(.3); srv.pids = tree(srv.p.pid)
    c0, s0, x0, b0 = cpu(srv.pids), steal(), ctxt(srv.pids), busy()
    r = load(args)
    b1 = busy(); time.sleep(.05)
    c1, s1, x1 = cpu(srv.pids), steal(), ctxt(srv.pids)
    n = max(1, r['done']); ns = c1[0] - c0[0]; ticks = max(1, c1[1] - c0[1] + c1[2] - c0[2])
    r.update(us=round(ns / 1e3 / n, 3), sys_share=round((c1[2] - c0[2]) / ticks, 3), cpu_s=round(ns / 1e9, 3),
             srv_util=round(ns / 1e9 / r['secs'], 3), ctx=round((x1 - x0) / n, 2), steal_ticks=s1 - s0, args=args,
             other=round((b1 - b0 - ns / 1e9 - r['gen_cpu']) / r['secs'], 2))
    return r

RUN = time.strftime('%F %T')
def save(rec):
    rec['run'] = RUN
    rec['ts'] = time.strftime('%F %T')
    with open(OUT + '/results.jsonl', 'a') as f: f.write(json.dumps(rec) + '\n')

def run(a):
    for rep in range(a.reps):
        for w in a.w:
            for name in a.s:
                if (w == 'H') != name.startswith('relay'): continue
                try:
                    with Server(name, w, a.extra) as srv:
                        for l in WL[w][0]:
                            r = load(l)
                            if r['failed'] or r['done'] < r['started']: print(f'{name}/{w} SETUP FAILED {r}')
                        for ph, l in WL[w][1].items():
                            if a.phase and ph not in a.phase: continue
                            m0 = mem(srv.pids); r = measure(srv, l); m1 = mem(srv.pids)
                            for _ in range(3):     # somebody else took the cores: wait, and measure again
                                if r['other'] <= .2 or ph == 'new': break
                                time.sleep(6); r = measure(srv, l)
                            save(dict(kind='cpu', rep=rep, sys=name + a.tag, w=w, phase=ph.rstrip('2'), nth=ph, pss0=m0['Pss'], pss1=m1['Pss'], **r))
                            print(f"{rep} {w} {name:12s} {ph:5s} {r['us']:9.2f} us  sys {r['sys_share']:.2f}  {r['rate']:8.0f}/s util {r['srv_util']:.2f} ctx {r['ctx']:5.2f} gen {r['gen_cpu']/r['secs']:.2f}"
                                  f"  p50 {r['p50_us']:.0f} p99 {r['p99_us']:.0f}  fail {r['failed']} rtx {r['retrans']} other {r['other']}  pss+{(m1['Pss']-m0['Pss'])/1e6:.1f}MB", flush=True)
                except RuntimeError as e: print(e, flush=True)

def ramp(a):
    """highest open-loop rate with no failure and no retransmission, 4 s each step"""
    base = {'A': '-m options', 'B': '-m register -N 100000', 'C': '-m register -a -N 20000', 'F': FCALL}
    for rep in range(a.reps):
        for w in a.w:
            for name in a.s:
                if (w == 'H') != name.startswith('relay'): continue
                with Server(name, w, a.extra) as srv:
                    for l in WL[w][0]: load(l)
                    sat = load(WL[w][1]['sat'])['rate']
                    lo, hi, best = 0, sat * 1.15, None
                    for _ in range(6):
                        r = (lo + hi) / 2 if lo else sat * .9
                        x = load(f"{base.get(w, CALL)} -n {int(r * 4)} -r {r:.0f} -w 20000")
                        ok = not x['failed'] and not x['retrans'] and x['rate'] > .93 * r
                        if ok: lo, best = r, x
                        else: hi = r
                        time.sleep(.5)
                    save(dict(kind='ramp', rep=rep, sys=name + a.tag, w=w, sat=sat, best=lo, p99_us=best and best['p99_us']))
                    print(f"{rep} {w} {name:12s} saturated {sat:.0f}/s, clean open loop {lo:.0f}/s, p99 {best and best['p99_us']} us", flush=True)

def shm_used(name):
    try:
        if name.startswith('kam'):
            o = subprocess.run(['kamcmd', '-s', f'unix:{OUT}/kam_ctl', 'core.shmmem'], capture_output=True, text=True, timeout=3).stdout
            return {k: int(v) for k, v in re.findall(r'(\w+): (\d+)', o)}
    except Exception as e: return {'error': str(e)}
    return {}

def memory(a):
    for rep in range(a.reps):
        for w in a.w:
            for name in a.s:
                with Server(name, w, a.extra) as srv:
                    if w == 'B':
                        load('-m options -n 500 -w 8'); m0, u0 = mem(srv.pids), shm_used(name)
                        n = 100000
                        r = load(f'-m register -n {n} -N {n} -w 64'); time.sleep(1)
                        m1, u1 = mem(srv.pids), shm_used(name); bad = r['failed']
                    else:
                        n = a.calls
                        load('-m register -n 10000 -N 10000 -w 64'); load(CALL + ' -n 300 -w 10'); time.sleep(8)
                        m0, u0 = mem(srv.pids), shm_used(name)
                        p = load(f'-m call -N 10000 -R 0 -n {n} -r {a.rate} -w 500 -H 1 -W {a.hold * 1000}', popen=True)
                        up = p.stdout.readline(); mpk, upk = mem(srv.pids), shm_used(name)
                        time.sleep(a.hold - 4)
                        c0 = cpu(srv.pids)[0]; time.sleep(2); idle = (cpu(srv.pids)[0] - c0) / 2e7
                        m1, u1 = mem(srv.pids), shm_used(name); print(up.strip())
                        o = p.communicate(timeout=120)[0]; r = json.loads(o.strip().splitlines()[-1]); bad = r['failed']
                        time.sleep(8); m2, u2 = mem(srv.pids), shm_used(name)
                    rec = dict(kind='mem', rep=rep, sys=name + a.tag, w=w, n=n, base_pss=m0['Pss'], pss_per=(m1['Pss'] - m0['Pss']) / n, failed=bad)
                    if 'used' in u1: rec['shm_per'] = (u1['used'] - u0['used']) / n; rec['shm_real_per'] = (u1.get('real_used', 0) - u0.get('real_used', 0)) / n
                    if w != 'B':
                        rec.update(pss_peak_per=(mpk['Pss'] - m0['Pss']) / n, pss_after=m2['Pss'], idle_cpu_pct=round(idle, 2))
                        if 'used' in upk: rec['shm_peak_per'] = (upk['real_used'] - u0['real_used']) / n
                    save(rec); print({k: round(v, 1) if isinstance(v, float) else v for k, v in rec.items()}, flush=True)

def instr(a):
    """User instructions: two runs of the same length in time under callgrind, with 100 and with 900 transactions;
    the difference leaves out start-up and timers.  Needs a server that exits normally on SIGTERM."""
    base = {'A': '-m options', 'B': '-m register -N 500', 'C': '-m register -a -N 500', 'F': FCALL.replace('-N 10000', '-N 500')}
    for w in a.w:
        for name in a.s:
            call, tot, bad = w in 'DEFGH', [], 0
            for n in (100, 900):
                for f in glob.glob(f'{OUT}/cg.{name}.{w}.*'): os.unlink(f)
                wrap = ['valgrind', '-q', '--tool=callgrind', '--trace-children=yes', f'--callgrind-out-file={OUT}/cg.{name}.{w}.%p']
                srv = Server(name, w, a.extra, wrap, wait=90)
                try:
                    if w != 'A': load('-m register -N 500 -n 500 -w 4 -T 5000' + (' -a' if w == 'C' else ''))
                    r = load(f'{base.get(w, CALL.replace("-N 10000", "-N 500"))} -n {n} -r {n / 8} -T 5000 -w 30'); bad += r['failed'] + r['retrans']
                    time.sleep(6.5 if call else 1)
                    srv.p.terminate(); srv.p.wait(40)
                finally: srv.stop()
                time.sleep(.5)
                tot.append(sum(int(m[1]) for f in glob.glob(f'{OUT}/cg.{name}.{w}.*') if (m := re.search(r'^totals: (\d+)', open(f).read(), re.M))))
            x = (tot[1] - tot[0]) / 800
            save(dict(kind='instr', sys=name + a.tag, w=w, instr=x, bad=bad))
            print(f'{w} {name:12s} {x:.0f} user instructions per transaction (totals {tot}, failed or retransmitted {bad})', flush=True)

def perf(a):
    for w in a.w:
        for name in a.s:
            with Server(name, w, a.extra) as srv:
                for l in WL[w][0]: load(l)
                d = f'{OUT}/perf-{name}-{w}'
                p = subprocess.Popen(['perf', 'record', '-q', '-e', 'cpu-clock', '-F', '4000', '-g', '-o', d + '.data', '-p', ','.join(map(str, srv.pids))], stderr=subprocess.DEVNULL)
                time.sleep(1); r = load(WL[w][1][a.phase[0] if a.phase else 'sat']); p.send_signal(signal.SIGINT); p.wait()
                for suf, opt in (('sym', '--no-children -g none --sort dso,symbol'), ('dso', '--no-children -g none --sort dso'), ('incl', '--children -g none --sort symbol'), ('comm', '--no-children -g none --sort pid')):
                    o = subprocess.run(f'perf report -i {d}.data --stdio {opt} 2>/dev/null | grep -v "^#" | grep -v "^$" | head -120', shell=True, capture_output=True, text=True).stdout
                    open(f'{d}.{suf}.txt', 'w').write(o)
                print(name, w, r['rate'], 'profile in', d + '.*.txt')

def report(a):
    recs = [json.loads(l) for l in open(OUT + '/results.jsonl')]
    g = {}
    for r in recs:
        if r['kind'] == 'cpu' and (a.all or not r['failed'] and r.get('other', 1 if a.clean else 0) <= .25 and (a.trials or not re.search('trial|alloc', r['sys']))): g.setdefault((r['w'], r['phase'], r['sys']), []).append(r)
    print('w phase system        n   us/txn  [min..max]       sys%   rate/s   ctx/txn p50us   p99us  retrans')
    for k in sorted(g):
        v = g[k]; us = sorted(x['us'] for x in v); med = lambda f: statistics.median(x[f] for x in v)
        print(f"{k[0]} {k[1]:5s} {k[2]:12s} {len(v):3d} {statistics.median(us):8.2f}  [{us[0]:.2f}..{us[-1]:.2f}]  {100*med('sys_share'):4.0f}  {med('rate'):8.0f}  {med('ctx'):6.2f} {med('p50_us'):6.0f} {med('p99_us'):7.0f}  {sum(x['retrans'] for x in v)}")
    base = a.base
    print(f'\nratios within the same repetition, us(system) / us({base}), median')
    for w, ph in sorted({k[:2] for k in g}):
        b = {(x.get('run'), x['rep'], x['nth']): x['us'] for x in g.get((w, ph, base), [])}
        o = [f"{s} {statistics.median(x['us'] / b[x.get('run'), x['rep'], x['nth']] for x in g[w, ph, s] if (x.get('run'), x['rep'], x['nth']) in b):.2f}" for (w2, p2, s) in sorted(g) if (w2, p2) == (w, ph) and any((x.get('run'), x['rep'], x['nth']) in b for x in g[w, ph, s])]
        if o: print(w, ph, ', '.join(o))
    for r in recs:
        if r['kind'] != 'cpu': print({k: round(v, 1) if isinstance(v, float) else v for k, v in r.items() if k != 'ts'})

signal.signal(signal.SIGTERM, lambda *x: sys.exit(143))   # so that servers are stopped
signal.signal(signal.SIGINT, signal.default_int_handler)
ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument('cmd', choices=['run', 'ramp', 'mem', 'instr', 'perf', 'report'])
ap.add_argument('-w', default='D', type=lambda s: s.split(','))
ap.add_argument('-s', default='kam,own', type=lambda s: s.split(','))
ap.add_argument('--reps', type=int, default=5)
ap.add_argument('--phase', type=lambda s: s.split(','))
ap.add_argument('--extra', type=lambda s: tuple(s.split(',')), default=(), help='config defines, such as CDR_SQLITE')
ap.add_argument('--tag', default='', help='suffix of the system name in the results')
ap.add_argument('--calls', type=int, default=50000)
ap.add_argument('--rate', type=int, default=2000)
ap.add_argument('--hold', type=int, default=16)
ap.add_argument('--base', default='kam')
ap.add_argument('--all', action='store_true')
ap.add_argument('--clean', action='store_true', help='report: only runs which recorded that the cores were free')
ap.add_argument('--trials', action='store_true', help='report: with the systems tagged trial or alloc')
a = ap.parse_args()
os.makedirs(OUT + '/flat', exist_ok=True)
dict(run=run, ramp=ramp, mem=memory, instr=instr, perf=perf, report=report)[a.cmd](a)
