/**
 * Connections as conntrack lists and loads them: with the real one, in a namespace that forwards between two others, a
 * running connection and one that was led to another place go on once its entry was lost and loaded again.
 */
// needs: kernel
// time limit: 180 s
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inOwnNamespaces, until } from '../dataplane-for-tests.ts';
import { asReceived, loadLine, replacements, trackedFlowOf } from './moved-flows.ts';

const plain =
  'tcp      6 431999 ESTABLISHED src=10.0.0.5 dst=10.0.0.9 sport=40270 dport=80 ' +
  'src=10.0.0.9 dst=10.0.0.5 sport=80 dport=40270 [ASSURED] mark=0 use=1';
const led =
  'udp      17 29 src=10.0.0.5 dst=10.0.0.200 sport=1001 dport=53 src=10.0.0.9 dst=10.0.0.5 sport=5353 dport=1001 ' +
  'mark=0 use=1';

test('what is answered and has not ended is carried, and loaded as it was', () => {
  const lines = [plain, led].flatMap((line) => trackedFlowOf(line, 1) ?? []).map(loadLine);
  assert.equal(lines, [
    '-A -p tcp -s 10.0.0.5 -d 10.0.0.9 --sport 40270 --dport 80 -t 431999 -u SEEN_REPLY,ASSURED --state ESTABLISHED',
    '-A -p udp -s 10.0.0.5 -d 10.0.0.200 --sport 1001 --dport 53 -t 29 -u SEEN_REPLY -g 10.0.0.9:5353',
  ]);
  const unfit = [
    plain.replace('ESTABLISHED', 'TIME_WAIT'),
    plain.replace('ESTABLISHED ', ''),
    plain.replace('sport=40270 dport=80 ', 'sport=40270 dport=80 [UNREPLIED] '),
    plain.replace('dst=10.0.0.5 sport=80', 'dst=10.0.0.6 sport=80'),
    plain.replace('src=10.0.0.5', 'src=10.0.0.5;x'),
    'icmp     1 29 src=10.0.0.5 dst=10.0.0.9 type=8 code=0 id=7 src=10.0.0.9 dst=10.0.0.5 type=0 code=0 id=7',
    'conntrack v1.4.7 (conntrack-tools): 2 flow entries have been shown.',
    '',
  ];
  assert.equal(
    unfit.flatMap((line) => trackedFlowOf(line, 0) ?? []),
    [],
  );
});

test('what led a client to the guest stays where the client enters, what led the guest goes with it', () => {
  const flow = trackedFlowOf(led, 0);
  if (flow === undefined) return assert.unreachable(led);
  const received = asReceived({ addresses: new Set(['10.0.0.9']) }, flow);
  assert.equal([received.destination, received.destinationPort, received.led], ['10.0.0.9', 5353, null]);
  assert.equal(asReceived({ addresses: new Set(['10.0.0.5']) }, flow), flow);
});

const rules = `table ip lead { chain pre { type nat hook prerouting priority -100;
 ip daddr 10.9.9.9 tcp dport 8080 dnat to 10.9.2.2:80
}
}
table ip keep { chain ahead { type filter hook forward priority 0; policy drop;
 ct state established accept
 ct state new ip saddr 10.9.1.2 accept
}
}
`;
/** Answers every line with itself. */
const echo = `require('node:net').createServer((one) => one.pipe(one)).listen(80, '10.9.2.2', () => console.log('up'))`;
const speak = (to: string): string =>
  `const one = require('node:net').connect(${to}); one.on('data', (data) => process.stdout.write(data));` +
  `process.stdin.pipe(one)`;

function declare(): void {
  const folder = mkdtempSync(path.join(tmpdir(), 'moved-flows-'));
  const children: ChildProcess[] = [];
  const run = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: 'utf8' });
  const within = (name: string, ...args: string[]): string => run('ip', 'netns', 'exec', name, ...args);
  const begin = (name: string, script: string): { child: ChildProcess; heard: () => string } => {
    const child = spawn('ip', ['netns', 'exec', name, process.execPath, '-e', script], { stdio: 'pipe' });
    children.push(child);
    let text = '';
    child.stdout.on('data', (data: Buffer) => (text += data.toString()));
    return { child, heard: () => text };
  };

  test.before(() => {
    for (const name of ['left', 'middle', 'right']) run('ip', 'netns', 'add', name);
    for (const [name, subnet] of [
      ['left', '10.9.1'],
      ['right', '10.9.2'],
    ] as const) {
      run('ip', 'link', 'add', name, 'netns', 'middle', 'type', 'veth', 'peer', 'name', 'up0', 'netns', name);
      run('ip', '-n', 'middle', 'address', 'add', `${subnet}.1/24`, 'dev', name);
      run('ip', '-n', name, 'address', 'add', `${subnet}.2/24`, 'dev', 'up0');
      run('ip', '-n', 'middle', 'link', 'set', name, 'up');
      run('ip', '-n', name, 'link', 'set', 'up0', 'up');
      run('ip', '-n', name, 'route', 'add', 'default', 'via', `${subnet}.1`);
    }
    within('middle', 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.netfilter.nf_conntrack_tcp_loose=0');
    const file = path.join(folder, 'rules');
    writeFileSync(file, rules);
    within('middle', 'nft', '-f', file);
  });

  test.after(() => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });

  test('a running connection goes on where its entry was loaded, also one that was led to another place', async () => {
    const server = begin('right', echo);
    await until('the server listens', () => server.heard().includes('up'));
    const guests = ["80, '10.9.2.2'", "8080, '10.9.9.9'"].map((to) => begin('left', speak(to)));
    const say = (word: string): void => guests.forEach(({ child }) => child.stdin?.write(`${word}\n`));
    const both = (word: string): boolean => guests.every(({ heard }) => heard().includes(word));
    say('first');
    await until('both are answered', () => both('first'));
    const listed = within('middle', 'conntrack', '-L', '-f', 'ipv4').split('\n');
    const flows = listed.flatMap((line) => trackedFlowOf(line, 0) ?? []);
    assert.equal(flows.map(({ led: other }) => other?.port ?? null).toSorted(), [80, null]);
    within('middle', 'conntrack', '-F');
    say('second');
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.not(both('second'), 'without an entry nothing passes');
    const file = path.join(folder, 'flows');
    const load = (lines: readonly string[]): void => {
      writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
      within('middle', 'conntrack', '-R', file);
    };
    const states = (): readonly string[] => within('middle', 'conntrack', '-L', '-f', 'ipv4').split('\n');
    // One that has ended has the ports of the first.
    const given = flows.map(loadLine);
    load([String(given[0]).replace('-A', '-I').replace('ESTABLISHED', 'TIME_WAIT').replace(',ASSURED', '')]);
    load(given);
    assert.is(states().filter((line) => line.includes('ESTABLISHED')).length, 1, 'what is there stays');
    load(replacements(states(), flows));
    assert.equal(replacements(states(), flows), [], 'what goes on is not replaced');
    await until('both are answered again', () => both('second'));
  });
}

inOwnNamespaces(import.meta.filename, declare);

test.run();
