/**
 * A small web server for tests, run in the network namespace of a stand-in for a guest: `/` answers its name, `/health`
 * its state, `/stream` a line every 20 ms without end. On standard input `sick` and `well` change its health, and
 * `stop` closes its port and all connections. It says `serving` once it does. Ends with its input.
 */
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

const [name = '', port = ''] = process.argv.slice(2);
let isWell = true;

const server = createServer((asked, answer) => {
  if (asked.url === '/health') return void answer.writeHead(isWell ? 200 : 503).end();
  if (asked.url !== '/stream') return void answer.end(`${name}\n`);
  const more = setInterval(() => answer.write(`${name}\n`), 20);
  answer.on('close', () => clearInterval(more));
});
server.listen(Number(port), '0.0.0.0', () => process.stdout.write('serving\n'));

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  if (line === 'sick' || line === 'well') isWell = line === 'well';
  if (line === 'stop') {
    server.close();
    server.closeAllConnections();
  }
});
lines.on('close', () => process.exit(0));
