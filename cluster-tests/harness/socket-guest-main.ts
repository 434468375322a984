/**
 * A guest with a kernel's tcp and udp: serves ports and speaks to those of others, in whatever network namespace it was
 * started. Commands come as one JSON object a line on stdin, answers leave as one a line on stdout, in the order in
 * which they are ready. Test instrument, started by socket-guest-for-tests.ts; ends with its stdin.
 */
import dgram from 'node:dgram';
import net from 'node:net';
import { createInterface } from 'node:readline';

interface Command {
  readonly id: number;
  readonly do: 'serve' | 'open' | 'stream' | 'end' | 'state' | 'udp';
  readonly protocol: 'tcp' | 'udp';
  readonly name: string;
  readonly to: string;
  readonly port: number;
  /** Source port; 0: any. */
  readonly from: number;
  /** Source address; '': that of the route. */
  readonly source: string;
  readonly connection: number;
  readonly bytes: number;
  readonly text: string;
  readonly timeoutMs: number;
}

type Answer = Readonly<Record<string, unknown>>;

interface Connection {
  readonly socket: net.Socket;
  state: 'open' | 'ended' | string;
  received: Buffer[];
  wake: () => void;
}

const connections: Connection[] = [];
const codeOf = (error: unknown): string => (error as { code?: string }).code ?? String(error);

/** Greets with its name and whom it sees, then echoes. */
async function serve({ protocol, port, name }: Command): Promise<Answer> {
  if (protocol === 'udp') {
    const socket = dgram.createSocket('udp4');
    socket.on('message', (text, from) =>
      socket.send(`${name} ${from.address} ${text.toString()}`, from.port, from.address),
    );
    await new Promise<void>((resolve, reject) => socket.once('error', reject).bind(port, resolve));
    return {};
  }
  const server = net.createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.write(`${name} ${socket.remoteAddress}\n`);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '0.0.0.0', resolve));
  return {};
}

/** Connects and reads the greeting. */
function open({ to, port, from, source, timeoutMs }: Command): Promise<Answer> {
  const started = performance.now();
  const socket = net.connect({
    host: to,
    port,
    ...(from === 0 ? {} : { localPort: from }),
    ...(source === '' ? {} : { localAddress: source }),
  });
  const connection: Connection = { socket, state: 'open', received: [], wake: () => {} };
  const took = (): number => performance.now() - started;
  return new Promise((resolve) => {
    let greeting = '';
    const give = (answer: Answer): void => {
      clearTimeout(timer);
      resolve({ ...answer, tookMs: took() });
    };
    const timer = setTimeout(() => (socket.destroy(), give({ error: 'silence' })), timeoutMs);
    socket.on(
      'error',
      (error) => ((connection.state = codeOf(error)), connection.wake(), give({ error: codeOf(error) })),
    );
    socket.on('close', () => {
      if (connection.state === 'open') connection.state = 'ended';
      connection.wake();
      give({ error: connection.state });
    });
    socket.on('data', (chunk) => {
      if (greeting.endsWith('\n')) {
        connection.received.push(chunk);
        connection.wake();
        return;
      }
      greeting += chunk.toString();
      if (!greeting.endsWith('\n')) return;
      const [name, seen] = greeting.trim().split(' ');
      connections.push(connection);
      give({ connection: connections.length - 1, name, source: seen });
    });
  });
}

const found = ({ connection }: Command): Connection => {
  const one = connections[connection];
  if (one === undefined) throw new Error(`no connection ${connection}`);
  return one;
};

const pattern = (bytes: number, start: number): Buffer =>
  Buffer.from(Array.from({ length: bytes }, (_, index) => ((start + index) * 31 + (index >> 8)) & 255));

/** Sends bytes and waits for their echo. */
async function stream(command: Command): Promise<Answer> {
  const one = found(command);
  one.received = [];
  const sent = pattern(command.bytes, command.id);
  one.socket.write(sent);
  const has = (): number => one.received.reduce((sum, chunk) => sum + chunk.length, 0);
  const deadline = performance.now() + command.timeoutMs;
  while (has() < sent.length && one.state === 'open' && performance.now() < deadline) await changed(one, deadline);
  return { echoed: has(), sound: Buffer.concat(one.received).equals(sent), state: one.state };
}

const changed = (one: Connection, deadline: number): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, Math.max(0, deadline - performance.now()));
    one.wake = () => (clearTimeout(timer), resolve());
  });

/** One datagram and its answer. */
function udp({ to, port, from, text, timeoutMs }: Command): Promise<Answer> {
  const socket = dgram.createSocket('udp4');
  return new Promise((resolve) => {
    const give = (answer: Answer): void => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(() => give({ error: 'silence' }), timeoutMs);
    socket.on('error', (error) => give({ error: codeOf(error) }));
    socket.on('message', (answer) => {
      const [name, source, echo] = answer.toString().split(' ');
      give({ name, source, echo });
    });
    socket.bind(from, () => socket.connect(port, to, () => socket.send(text)));
  });
}

async function perform(command: Command): Promise<Answer> {
  switch (command.do) {
    case 'serve':
      return serve(command);
    case 'open':
      return open(command);
    case 'stream':
      return stream(command);
    case 'udp':
      return udp(command);
    case 'state':
      return { state: found(command).state };
    case 'end':
      found(command).socket.destroy();
      return {};
    default:
      throw new Error(`no command ${String(command.do)}`);
  }
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const command = JSON.parse(line) as Command;
  perform(command)
    .catch((error: unknown) => ({ failed: codeOf(error) }))
    .then((answer) => process.stdout.write(`${JSON.stringify({ id: command.id, ...answer })}\n`))
    .catch((error: unknown) => process.stderr.write(`${String(error)}\n`));
});
lines.on('close', () => process.exit(0));
