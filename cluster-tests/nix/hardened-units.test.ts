// needs: kernel
// time limit: 120 s
// test limit: 90 s
/**
 * The units that nix/modules makes for a host that is store, controller, worker and deployer, as they are, in a real
 * systemd: with their users, credentials, filters of system calls and all else that restricts them, the programs become
 * ready, and the deployer applies a tenant. A unit that forbids its program too much is found here and nowhere else.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { until } from '@photoncloud/runtime/journal/redis-for-tests';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkout } from '../cluster/photon-commands.ts';
import { NixPlace, whyNoBuilds, whyNoNix } from './nix-place.ts';
import { RunningHost, whyNoHost } from './running-host.ts';

const folder = mkdtempSync(join(tmpdir(), 'photon-host-'));
const nix = new NixPlace();
let host: RunningHost | null = null;
test.after(async () => {
  await host?.close();
  nix.close();
  rmSync(folder, { recursive: true, force: true });
});

const of = (name: string): string => join(folder, name);

interface Units {
  readonly units: Readonly<Record<string, string>>;
  readonly sockets: Readonly<Record<string, string>>;
  readonly documents: readonly unknown[];
}

const unitsOf = (): Units =>
  nix.evaluate(`
    let
      found = lib.nixosSystem { modules = [ (top + "/nix/modules") { services.photoncloud = {
        cluster.nodes.control = { address = "192.0.2.1"; roles = [ "store" "controller" "worker" ]; };
        node = "control";
        worker.address = "192.0.2.2";
        deployer.enable = true;
        tenants.acme = {
          networks.front.subnets = [{ cidr = "10.20.0.0/24"; }];
          securityGroups.web.rules = [{ direction = "egress"; }];
        };
      }; } ]; };
    in builtins.seq found.config.system.build.toplevel.drvPath {
      inherit (found.config) units;
      sockets = found.config.socketUnits;
      inherit (found.config.services.photoncloud) documents;
    }`) as Units;

/** Lays what a switch, and the copying of folders, lay on a host. */
function prepare({ units, sockets, documents }: Units): string {
  const files = [
    ...Object.entries(units).map(([name, text]) => [`${name}.service`, text] as const),
    ...Object.entries(sockets).map(([name, text]) => [`${name}.socket`, text] as const),
  ];
  // The deployer is started when the host is ready: its first try would be too early, and its next is 15 s later.
  const started = files.map(([name]) => name).filter((name) => !name.includes('deployer'));
  mkdirSync(of('units'));
  for (const [name, text] of files) {
    const programs = text
      .replaceAll(/^(Exec\w+=\+?)\S+\/bin\/photon /gm, '$1/opt/photon ')
      .replaceAll(/^(Exec\w+=\+?)\S+\/bin\/chown /gm, '$1/usr/bin/chown ')
      .replaceAll(/ -f \S+-photoncloud-state\.json /g, ' -f /opt/state.json ');
    writeFileSync(of(`units/${name}`), programs);
  }
  writeFileSync(of('state.json'), JSON.stringify(documents));
  const node = join('/opt/photoncloud', relative(checkout, process.execPath));
  const start = `#!/bin/sh\nexec ${node} /opt/photoncloud/actors/photon/photon-main.ts "$@"\n`;
  writeFileSync(of('photon'), start, { mode: 0o755 });
  return `set -e
    ip link add und0 type bridge; ip link set und0 up
    for address in 192.0.2.1 192.0.2.2; do ip addr add $address/24 dev und0; done
    cp ${folder}/units/* etc/systemd/system/; cp ${folder}/photon ${folder}/state.json opt/
    for unit in ${started.join(' ')}; do
      target=$(sed -n 's/^WantedBy=//p' etc/systemd/system/$unit).wants
      mkdir -p etc/systemd/system/$target; ln -s ../$unit etc/systemd/system/$target/$unit
    done
    echo 'photoncloud:x:990:990::/:/usr/sbin/nologin' >> etc/passwd; echo 'photoncloud:x:990:' >> etc/group
    rm -rf var/lib/photoncloud etc/photoncloud; mkdir -p var/lib/photoncloud
    for one in store:store control:controller work:worker; do
      cp -r ${folder}/lab/nodes/\${one%:*} var/lib/photoncloud/\${one#*:}
    done
    cp -r ${folder}/lab/clients etc/photoncloud`;
}

const roles = ['store', 'controller', 'worker'];

const reason = whyNoNix() ?? whyNoBuilds() ?? whyNoHost();
if (reason !== undefined) test.skip(`NOT RUN, lane 2 (units in the systemd of a host): ${reason}`);
else
  test('with all that restricts them, store, controller and worker get ready, and the deployer applies', async () => {
    const photon = [join(checkout, 'actors/photon/photon-main.ts'), 'init', '--dir', 'lab', '--cluster', 'lab'];
    const nodes = ['--store', 'store=192.0.2.1', '--controller', 'control=192.0.2.1', '--worker', 'work=192.0.2.2'];
    execFileSync(process.execPath, [...photon, ...nodes], { cwd: folder, stdio: 'pipe' });
    const running = await RunningHost.start(folder, checkout, prepare(unitsOf()));
    host = running;
    const states = (): string[] =>
      running
        .run('systemctl', 'is-active', ...roles.map((role) => `photoncloud-${role}`))
        .stdout.trim()
        .split('\n');
    const journal = (): string => running.run('journalctl', '--no-pager', '-o', 'cat', '-u', 'photoncloud-*').stdout;
    const waitFor = (what: string, isSo: () => boolean): Promise<void> =>
      until(what, isSo, 40_000).catch((error: unknown) => {
        const found = roles.map((role, index) => `${role}: ${states()[index]}`).join(', ');
        throw new Error(`${String(error)}: ${found}\n${journal().slice(-6_000)}`, { cause: error });
      });
    await waitFor('every unit is active', () => states().every((state) => state === 'active'));
    const listed = (): string =>
      running.run('/opt/photon', '--as', '/etc/photoncloud/operator.json', 'list', 'host').stdout;
    await waitFor('its host is ready', () => /host\/system\/work +present\.ready/.test(listed()));
    const { status, stderr } = running.run('systemctl', 'start', 'photoncloud-deployer');
    assert.is(status, 0, `${stderr}\n${journal().slice(-6_000)}`);
    assert.match(journal(), /created +network\/acme\/front/);
    // Nobody else reads what they have.
    for (const role of ['store', 'controller'])
      assert.is(
        running.run('stat', '-c', '%U %a', `/var/lib/photoncloud/${role}`).stdout.trim(),
        'photoncloud 700',
        role,
      );
  });

test.run();
