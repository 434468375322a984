/**
 * Hands a descriptor of the worker to a QEMU that runs: QEMU sees only its empty folder, and can open nothing by name.
 * Descriptors travel over a unix socket as ancillary data (SCM_RIGHTS), which Node cannot send. Perl can, with a plain
 * system call, and needs no module for it. The program speaks on the second QMP socket, because QEMU serves one client
 * on each, and the worker keeps the first one.
 * Called by qemu-plug.ts. Rejected: a hard link or a mount of the file in the empty folder, which would have to belong
 * to the user of the guest (docs/decisions/0029-disks-on-root-ports.md).
 */
import { z } from 'zod';
import { runProgram } from '../program.ts';
import { qmpRefused } from './qemu-errors.ts';
import type { IncarnationPaths } from './qemu-folder.ts';

/** Number of the system call sendmsg. */
const sendmsg: Readonly<Record<string, number>> = { x64: 46, arm64: 211 };
const answerMs = 5_000;

/**
 * Arguments: the number of sendmsg, the socket, and requests, the first of which takes descriptor 3 along. Prints the
 * answer to the last one, or the first error. `struct msghdr` and `struct cmsghdr` are those of 64-bit Linux.
 */
const program = `
use strict; use Socket;
my ($sendmsg, $path, @requests) = @ARGV;
alarm ${answerMs / 1_000};
socket(my $qemu, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!\\n";
connect($qemu, pack_sockaddr_un($path)) or die "connect: $!\\n";
my $answer = <$qemu>;
my $ask = sub {
  my ($text, $with) = @_;
  $text .= "\\n";
  my $iov = pack('P Q', $text, length $text);
  my $control = $with ? pack('Q i i i x4', 20, SOL_SOCKET, 1, 3) : '';
  my $message = pack('Q L x4 P Q P Q i x4', 0, 0, $iov, 1, $control, length $control, 0);
  syscall($sendmsg, fileno($qemu), $message, 0) == length $text or die "sendmsg: $!\\n";
  while ($answer = <$qemu>) { return if $answer =~ /^\\{"(return|error)"/; }
  die "closed\\n";
};
$ask->('{"execute": "qmp_capabilities"}');
my $with = 1;
for (@requests) { $ask->($_, $with); $with = 0; last if $answer =~ /^\\{"error"/; }
print $answer;
`;

const answerSchema = z.union([z.object({ return: z.unknown() }), z.object({ error: z.object({ desc: z.string() }) })]);

/** @throws fault `qmp_refused`; unknown `program_killed` when QEMU does not answer, or somebody else has the socket */
export async function giveDescriptor(
  { toolingSocket }: IncarnationPaths,
  descriptor: number,
  command: string,
  args: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const request = JSON.stringify({ execute: command, arguments: args });
  const { stdout } = await runProgram({
    program: 'perl',
    args: ['-e', program, String(sendmsg[process.arch]), toolingSocket, request],
    what: `giving QEMU a descriptor (${command})`,
    files: [descriptor],
    timeoutMs: 2 * answerMs,
  });
  const answer = answerSchema.parse(JSON.parse(stdout));
  if ('error' in answer) throw qmpRefused(command, answer.error.desc);
  return answer.return;
}
