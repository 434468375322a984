// needs: kernel
// test limit: 200 s
/**
 * The socket units that nix/modules makes for a controller, in a real systemd: while its service is killed and
 * restarted, and while the release behind it is another one, a squatter takes none of its addresses and no client is
 * refused; a service that the declaration and the folder of the node disagree about refuses the socket and says so.
 * The service runs without what only the systemd of a whole host can apply: user, hardening.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestProgram } from '@photoncloud/actors/photon/program-for-tests';
import { TestRedis, until } from '@photoncloud/runtime/journal/redis-for-tests';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkout } from '../cluster/photon-commands.ts';
import { Clients, Squatter } from '../cluster/squatters.ts';
import { NixPlace, whyNoNix } from './nix-place.ts';
import { RunningSystemd, whyNoSystemd } from './running-systemd.ts';

const service = 'photoncloud-controller.service';
const cleanUp: (() => unknown)[] = [];
test.after(async () => {
  for (const step of cleanUp.toReversed()) await step();
});

type Units = { readonly units: Readonly<Record<string, string>>; readonly sockets: Readonly<Record<string, string>> };

/** The units of a host whose node is in this folder, at these ports. */
function unitsOf(directory: string, { peer, api }: { readonly peer: number; readonly api: number }): Units {
  const nix = new NixPlace();
  try {
    return nix.evaluate(`
      let host = lib.nixosSystem { modules = [ (top + "/nix/modules") { services.photoncloud = {
        directory = "${directory}";
        controller = {
          enable = true;
          address = "127.0.0.1";
          peerListenPort = ${peer};
          apiListenPort = ${api};
        };
      }; } ]; }; in { inherit (host.config) units; sockets = host.config.socketUnits; }`) as Units;
  } finally {
    nix.close();
  }
}

/** The service as NixOS gets it, with the program of the checkout, and without what only a whole host can apply. */
function runnable(text: string, folder: string, log: string, storeUrl: string): string {
  const program = `${process.execPath} ${join(checkout, 'actors/photon/photon-main.ts')}`;
  const kept = /^(\[|Restart|TimeoutStop|LimitNOFILE|Description|Requires|After|ConditionPath|StartLimit)/;
  const lines = text.split('\n').filter((line) => kept.test(line) && !line.includes('network-online'));
  const own = [
    `Requires=${/^Requires=(.*)$/m.exec(text)?.[1]}`,
    `After=${/^Requires=(.*)$/m.exec(text)?.[1]}`,
    '[Service]',
    `ExecStart=${program} controller --dir ${folder}`,
    `Environment=PATH=${process.env['PATH']} REDIS_URL=${storeUrl} PHOTON_CACHE=${join(checkout, '.cache/pages')}`,
    `StandardOutput=append:${log}`,
    `StandardError=append:${log}`,
  ];
  return lines.flatMap((line) => (line === '[Service]' ? own : [line])).join('\n');
}

async function scene() {
  const redis = await TestRedis.start();
  cleanUp.push(() => redis.remove());
  const cluster = await TestProgram.start(redis.url, ['controller'], { launches: false });
  cleanUp.push(() => cluster.remove());
  const addresses = cluster.addresses('controller');
  const [peer, api] = [addresses.peer, addresses.api].map((one) => Number(one.split(':')[1])) as [number, number];
  const folder = await mkdtemp(join(tmpdir(), 'photon-units-'));
  cleanUp.push(() => rm(folder, { recursive: true, force: true }));
  const log = join(folder, 'controller.log');
  const nodeFolder = cluster.nodeFolder('controller');
  const { units, sockets } = unitsOf(join(nodeFolder, '..'), { peer, api });
  const text = runnable(units['photoncloud-controller'] ?? '', nodeFolder, log, redis.url);
  writeFileSync(join(folder, service), text);
  for (const [name, socket] of Object.entries(sockets)) writeFileSync(join(folder, `${name}.socket`), socket);
  const manager = await RunningSystemd.start(folder);
  cleanUp.push(() => manager.close());
  const logText = (): string => (existsSync(log) ? readFileSync(log, 'utf8') : '');
  const said = async (words: string, times = 1): Promise<void> => {
    const isSaid = (): boolean => logText().split(words).length > times;
    await until(`${words} is said ${times} times`, isSaid, 120_000).catch((error: unknown) => {
      const status = manager.systemctl('show', service, ...socketNames);
      throw new Error(`${String(error)}\n${logText().slice(-4_000)}\n${status}`, { cause: error });
    });
  };
  const socketNames = Object.keys(sockets).map((name) => `${name}.socket`);
  return { manager, addresses, nodeFolder, said, socketNames };
}

const why = whyNoNix() ?? whyNoSystemd();
if (why === undefined)
  test('systemd holds the addresses while the service is killed and restarted; other sockets are refused', async () => {
    const { manager, addresses, nodeFolder, said, socketNames } = await scene();
    manager.systemctl('start', ...socketNames);
    const squatter = new Squatter([addresses.peer, addresses.api]);
    const clients = new Clients(addresses.api, addresses.peer);
    // The first connection starts the service, as it would on a host that has just booted.
    const ready = (times: number): Promise<void> => said('"msg":"ready"', times);
    await until('the service has been started', () => manager.systemctl('show', '-P', 'MainPID', service) !== '0');
    await ready(1);
    manager.systemctl('kill', '-s', 'SIGKILL', service);
    await ready(2);
    manager.systemctl('restart', service);
    await ready(3);
    await clients.close();
    const { tries, taken } = await squatter.count();
    const { answered, refused } = clients.count;
    assert.equal({ taken, refused }, { taken: 0, refused: 0 });
    assert.ok(tries > 20 && answered > 3, `${tries} tries, ${answered} answered`);

    // node.json now says another port than the units.
    const path = join(nodeFolder, 'node.json');
    const config = JSON.parse(readFileSync(path, 'utf8')) as { apiListenPort: number };
    writeFileSync(path, JSON.stringify({ ...config, apiListenPort: config.apiListenPort + 1 }));
    manager.systemctl('restart', service);
    await said('(listener_mismatch)');

    manager.systemctl('stop', service, ...socketNames);
    await until('what was withdrawn is free', async () => (await squatter.count()).taken > 0);
    await squatter.close();
  });
else test.skip(`NOT RUN (socket units in systemd): ${why}`);

test.run();
