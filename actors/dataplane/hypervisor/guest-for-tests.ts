/** A guest agent behind a real unix socket, for tests: it behaves as it is told to. */
import net from 'node:net';

export type Answers = Readonly<Record<string, unknown>>;
export interface Asked {
  readonly execute: string;
  readonly arguments?: { readonly id: number };
}
/** What a guest sends to a question; null: nothing. */
export type Behaviour = (asked: Asked, socket: net.Socket) => string | Buffer | null;

export const reply = (value: unknown): string => `${JSON.stringify({ return: value })}\n`;
export const inStep = ({ arguments: args }: Asked): Buffer =>
  Buffer.concat([Buffer.from([0xff]), Buffer.from(reply(args?.id))]);

/** As the agent of QEMU: what comes before the byte is dropped. */
export const agent =
  (answers: Answers): Behaviour =>
  (asked) => {
    if (isSync(asked)) return inStep(asked);
    const answer = answers[asked.execute];
    return answer === undefined ? '{"error":{"class":"CommandNotFound","desc":"no"}}\n' : reply(answer);
  };

export const isSync = ({ execute }: Asked): boolean => execute === 'guest-sync-delimited';

export interface ServedGuest {
  /** What it was asked, but for getting in step. */
  readonly asked: readonly string[];
  readonly close: () => void;
}

export async function serveGuest(path: string, behave: Behaviour): Promise<ServedGuest> {
  const sockets = new Set<net.Socket>();
  const asked: string[] = [];
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    let text = '';
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1').replaceAll('\u00ff', '');
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const question = JSON.parse(text.slice(0, end)) as Asked;
        text = text.slice(end + 1);
        if (!isSync(question)) asked.push(question.execute);
        const sent = behave(question, socket);
        if (sent !== null && !socket.destroyed) socket.write(sent);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { asked, close };
}
