/**
 * Hands an open file or tap to a QEMU that runs: QEMU sees only its empty folder, and can open nothing by name.
 * Descriptors travel over a unix socket as ancillary data (SCM_RIGHTS), which Node cannot send; and a tap is opened
 * with an ioctl, which Node has not. Perl can do both, with plain system calls, and needs no module for it. The program
 * speaks on the second QMP socket, because QEMU serves one client on each, and the worker keeps the first one.
 * Called by qemu-plug-disk.ts and qemu-plug-nic.ts. Rejected: a hard link or a mount of the file in the empty folder,
 * which would have to belong to the user of the guest (docs/decisions/0029-disks-on-root-ports.md).
 */
import { z } from 'zod';
import { runProgram } from '../program.ts';
import { tapErrors } from '../tap/tap-errors.ts';
import { plugImpossible, qmpRefused } from './qemu-errors.ts';
import type { IncarnationPaths } from './qemu-folder.ts';

/** Number of the system call sendmsg; the shapes in the program are those of 64-bit Linux. */
const sendmsg: Readonly<Record<string, number>> = { x64: 46, arm64: 211 };
const answerMs = 5_000;

/**
 * Arguments: the number of sendmsg, the socket, a tap or nothing, and requests. With `add-fd` or `getfd` goes the tap,
 * or descriptor 3. Prints the answer to the last request, or the first error; `closefd` may fail. A tap that is not
 * there would be made by opening it: only one that persists is taken.
 */
const program = `
use strict; use Socket;
my ($sendmsg, $path, $tap, @requests) = @ARGV;
alarm ${answerMs / 1_000};
socket(my $qemu, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!\\n";
connect($qemu, pack_sockaddr_un($path)) or die "connect: $!\\n";
my $answer = <$qemu>;
my $ask = sub {
  my ($text, $with) = @_;
  $text .= "\\n";
  my $iov = pack('P Q', $text, length $text);
  my $control = defined $with ? pack('Q i i i x4', 20, SOL_SOCKET, 1, $with) : '';
  my $message = pack('Q L x4 P Q P Q i x4', 0, 0, $iov, 1, $control, length $control, 0);
  syscall($sendmsg, fileno($qemu), $message, 0) == length $text or die "sendmsg: $!\\n";
  while ($answer = <$qemu>) { return if $answer =~ /^\\{"(return|error)"/; }
  die "closed\\n";
};
my $open;
my $descriptor = sub {
  return 3 if $tap eq '';
  my ($set, $get, $flags, $persists) = (0x400454ca, 0x800454d2, 0x5002, 0x0800);
  sysopen($open, '/dev/net/tun', 2) or die "open /dev/net/tun: $!\\n";
  my $request = pack('a16 S x22', $tap, $flags);
  ioctl($open, $set, $request) or die "TUNSETIFF $tap: $!\\n";
  ioctl($open, $get, $request) or die "TUNGETIFF $tap: $!\\n";
  (unpack('a16 S', $request))[1] & $persists or die "absent $tap\\n";
  return fileno($open);
};
$ask->('{"execute":"qmp_capabilities"}');
for (@requests) {
  $ask->($_, /^\\{"execute":"(add-fd|getfd)"/ ? $descriptor->() : undef);
  last if $answer =~ /^\\{"error"/ && !/^\\{"execute":"closefd"/;
}
print $answer;
`;

const answerSchema = z.union([z.object({ return: z.unknown() }), z.object({ error: z.object({ desc: z.string() }) })]);

type Request = readonly [command: string, args: Readonly<Record<string, unknown>>];

/** @throws fault `qmp_refused`; unknown `program_killed` when QEMU does not answer, or somebody else has the socket */
async function give(
  { toolingSocket }: IncarnationPaths,
  { descriptor, tap = '' }: { readonly descriptor?: number; readonly tap?: string },
  requests: readonly Request[],
): Promise<unknown> {
  const number = sendmsg[process.arch];
  if (number === undefined) throw plugImpossible(process.arch);
  const what = `giving QEMU ${tap === '' ? 'a file' : `tap ${tap}`}`;
  const { stdout } = await runProgram({
    program: 'perl',
    args: [
      '-e',
      program,
      String(number),
      toolingSocket,
      tap,
      ...requests.map(([execute, args]) => JSON.stringify({ execute, arguments: args })),
    ],
    what,
    files: [descriptor ?? null],
    rules: tapErrors,
    timeoutMs: 2 * answerMs,
  });
  const answer = answerSchema.parse(JSON.parse(stdout));
  if ('error' in answer) throw qmpRefused(what, answer.error.desc);
  return answer.return;
}

/** The names under which QEMU opens files that it was given. */
export const descriptorSets = '/dev/fdset/';

/** @param label by which QEMU shows it @returns the name under which QEMU opens it */
export async function giveFile(paths: IncarnationPaths, descriptor: number, label: string): Promise<string> {
  const set = await give(paths, { descriptor }, [['add-fd', { opaque: label }]]);
  return `${descriptorSets}${z.object({ 'fdset-id': z.int() }).parse(set)['fdset-id']}`;
}

/** QEMU sends and receives over the tap from now on, under this id. An attempt that was cut off may have left one. */
export async function giveTap(paths: IncarnationPaths, tap: string, id: string): Promise<void> {
  await give(paths, { tap }, [
    ['closefd', { fdname: id }],
    ['getfd', { fdname: id }],
    ['netdev_add', { type: 'tap', id, fd: id }],
  ]);
}
