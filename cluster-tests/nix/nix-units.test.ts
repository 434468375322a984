/**
 * The units that nix/modules makes for hosts, as text, through the test double of NixOS: importing the modules changes
 * nothing; a host runs what its roles in the declared cluster say; systemd finds nothing to complain about and rates
 * their exposure; what owns guests is not restarted by a switch and does not end them; no secret is in the Nix store.
 * Does not prove that NixOS makes the same files of the same options.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exportPorts, migrationPorts } from '@photoncloud/actors/dataplane/underlay-ports';
import { documentSchema } from '@photoncloud/actors/kind/documents';
import { rolloutSettings } from '@photoncloud/actors/photon/nix-agent/rollout-files';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NixPlace, whyNoBuilds, whyNoNix } from './nix-place.ts';

const nix = new NixPlace();
test.after(() => nix.close());

interface HostState {
  readonly units: Readonly<Record<string, string>>;
  readonly sockets: Readonly<Record<string, string>>;
  readonly restarts: Readonly<Record<string, boolean>>;
  /** Whether a switch stops the unit first and starts it later, in place of restarting it. */
  readonly stops: Readonly<Record<string, boolean>>;
  readonly sysctl: Readonly<Record<string, string>>;
  readonly tcp: readonly number[];
  readonly tcpRanges: readonly { readonly from: number; readonly to: number }[];
  readonly udp: readonly number[];
  readonly modules: readonly string[];
  readonly users: readonly string[];
  readonly packages: number;
}

const asState = `
  host: let c = host.config; in {
    inherit (c) units;
    sockets = c.socketUnits;
    inherit (c.boot.kernel) sysctl;
    stops = builtins.mapAttrs (_: unit: unit.stopIfChanged) c.systemd.services;
    restarts = builtins.mapAttrs (_: unit: unit.restartIfChanged) c.systemd.services;
    tcp = c.networking.firewall.allowedTCPPorts;
    tcpRanges = c.networking.firewall.allowedTCPPortRanges;
    udp = c.networking.firewall.allowedUDPPorts;
    modules = c.boot.kernelModules;
    users = builtins.attrNames c.users.users;
    packages = builtins.length c.environment.systemPackages;
  }`;

const none: HostState = {
  units: {},
  sockets: {},
  restarts: {},
  stops: {},
  sysctl: {},
  tcp: [],
  tcpRanges: [],
  udp: [],
  modules: [],
  users: [],
  packages: 0,
};

/** Lines of systemd-analyze that name the unit; it ends with 0 whatever it has found. */
function complaints(folder: string, name: string, text: string, type = 'service'): string[] {
  const path = join(folder, `${name}.${type}`);
  // The programs are not here, and Debian's systemd is older than NixOS's.
  writeFileSync(path, text.replaceAll(/^(Exec\w+=)\S+/gm, '$1/bin/true').replaceAll(/^DelegateSubgroup=.*\n/gm, ''));
  const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', path], { encoding: 'utf8' });
  return `${stdout}${stderr}`.split('\n').filter((line) => line.includes(name));
}

/** As systemd-analyze rates a unit: 0 is least exposed, 10 most. */
function exposure(folder: string, name: string): number {
  const path = join(folder, `${name}.service`);
  const argv = ['security', '--offline=true', '--no-pager', path];
  const { stdout, stderr } = spawnSync('systemd-analyze', argv, { encoding: 'utf8' });
  const found = /Overall exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1];
  assert.ok(found !== undefined, `${stdout}${stderr}`);
  return Number(found);
}

function declare(): void {
  const hosts = nix.evaluate(`
    let
      stateOf = ${asState};
      nodes = builtins.mapAttrs (_: host: stateOf (lib.nixosSystem { modules = [ host ]; }))
        (import (top + "/nix/cluster")).hosts;
      hostOf = config: stateOf (lib.nixosSystem {
        modules = [ (top + "/nix/modules") { services.photoncloud = config; } ];
      });
      own = role: { \${role} = { enable = true; openFirewall = true; }; };
      held = role: { \${role} = { enable = true; openFirewall = true; address = "192.0.2.9"; }; };
    in nodes // {
      inert = hostOf { tenants.acme.volumes.v.sizeMib = 1; };
      store = hostOf (own "store");
      controller = hostOf (held "controller");
      worker = hostOf (held "worker");
      other = hostOf ({ environmentFile = "/etc/photoncloud/environment"; } // held "worker");
      nixAgent = hostOf { nixAgent = { enable = true; trustedPublicKeys = [ "ci-1:AAAA" ]; }; };
      emptied = hostOf { deployer = { enable = true; allowDeletes = 40; prune = true; }; tenants.last = { }; };
      deployer = hostOf { deployer.enable = true; tenants.acme.volumes.v.sizeMib = 1; };
    }`) as Readonly<Record<string, HostState>>;
  const of = (name: string): HostState => hosts[name] ?? none;
  const unit = (host: string, role = host): string => of(host).units[`photoncloud-${role}`] ?? '';

  test('importing the modules, and declaring tenants, changes nothing of a host', () => {
    assert.equal(of('inert'), none);
  });

  test('a node of the declared cluster runs the programs of its roles', () => {
    const units = ['node01', 'node04', 'node06'].map((node) => Object.keys(of(node).units));
    const ofControl = ['photoncloud-controller', 'photoncloud-store'];
    assert.equal(units, [ofControl, ['photoncloud-worker'], ['photoncloud-worker']]);
    assert.match(unit('node04', 'worker'), /ExecStart=\S+\/bin\/photon worker --dir \/var\/lib\/photoncloud\/worker/);
    assert.equal([of('node04').modules.includes('vxlan'), of('node01').modules], [true, []]);
    assert.equal([of('node01').users, of('node04').users], [['photoncloud'], []]);
  });

  test('nodes with a store of another kind get its address from a file', () => {
    assert.match(unit('other', 'worker'), /^EnvironmentFile=\/etc\/photoncloud\/environment$/m);
    assert.not.match(unit('worker'), /EnvironmentFile/);
  });

  test('a unit waits for its secrets, and a host has started before the deployer runs', () => {
    assert.match(unit('worker'), /^ConditionPathExists=\/var\/lib\/photoncloud\/worker\/node\.json$/m);
    assert.match(unit('deployer'), /^ConditionPathExists=\/etc\/photoncloud\/operator\.json$/m);
    assert.match(unit('deployer'), /^After=.*multi-user\.target/m);
  });

  test('the script of the VM test is Python', () => {
    const script = nix.evaluate(
      `(import (top + "/nix/tests/deployer-vm-smoke.nix") { inherit pkgs; }).testScript`,
    ) as string;
    const argv = ['-c', 'import sys; compile(sys.stdin.read(), "testScript", "exec")'];
    const { status, stderr } = spawnSync('python3', argv, { input: script, encoding: 'utf8' });
    assert.is(status, 0, stderr);
    assert.match(script, /--worker work=192\.168\.1\.3/);
  });

  test('ports are opened where that is asked for', () => {
    assert.equal([of('store').tcp, of('controller').tcp], [[6379], [7443, 7444]]);
    assert.equal([of('worker').tcp, of('worker').udp, of('node04').udp], [[7443], [4789], []]);
    const atQemu = [{ from: exportPorts.first, to: migrationPorts.last }];
    assert.is(exportPorts.last + 1, migrationPorts.first);
    assert.equal([of('worker').tcpRanges, of('node04').tcpRanges, of('controller').tcpRanges], [atQemu, [], []]);
  });

  test('systemd holds the addresses of a node from the start of its host, whatever becomes of its program', () => {
    const { sockets, stops, sysctl } = of('node01');
    assert.equal(Object.keys(sockets), ['photoncloud-controller-api', 'photoncloud-controller-peer']);
    const api = sockets['photoncloud-controller-api'] ?? '';
    for (const line of [
      'ListenStream=192.0.2.1:7444',
      'FileDescriptorName=api',
      'FreeBind=true',
      'TriggerLimitIntervalSec=0',
      'Service=photoncloud-controller.service',
      'WantedBy=sockets.target',
    ])
      assert.match(api, new RegExp(`^${line}$`, 'm'));
    assert.not.match(Object.values(sockets).join('\n'), /ReusePort/);
    assert.match(of('node04').sockets['photoncloud-worker-peer'] ?? '', /^ListenStream=192\.0\.2\.4:7443$/m);
    // Given up, or stopped by a switch, the service would take its sockets with it.
    assert.match(unit('node01', 'controller'), /^StartLimitIntervalSec=0$/m);
    assert.match(unit('node01', 'controller'), /^Requires=photoncloud-controller-api\.socket /m);
    assert.is(stops['photoncloud-controller'], false);
    assert.is(sysctl['net.ipv4.ip_local_reserved_ports'], '6379,26379,7443,7444');
  });

  test('a switch of the host does not restart what owns guests, and stopping it does not end them', () => {
    assert.is(of('worker').restarts['photoncloud-worker'], false);
    assert.is(of('controller').restarts['photoncloud-controller'], true);
    for (const line of ['KillMode=process', 'Delegate=true', 'DelegateSubgroup=worker'])
      assert.match(unit('worker'), new RegExp(`^${line}$`, 'm'));
  });

  test('a switch does not restart a store of several hosts, which would all be away at once; one alone it does', () => {
    assert.is(of('node01').restarts['photoncloud-store'], false);
    assert.is(of('store').restarts['photoncloud-store'], true);
    assert.match(unit('node01', 'store'), /^ExecStart=\S+\/photon store --dir \/var\/lib\/photoncloud\/store$/m);
    assert.match(unit('node01', 'store'), /^ConditionPathExists=\/var\/lib\/photoncloud\/store\/node\.json$/m);
    assert.match(unit('node01', 'controller'), /^After=.*photoncloud-store\.service/m);
  });

  test('the unit of the store lets setpriv set the capabilities of Redis, and only that one', () => {
    const filterOf = (role: string) => unit(role).match(/^SystemCallFilter=.*$/gm);
    assert.equal(filterOf('store'), [...(filterOf('controller') ?? []), 'SystemCallFilter=capset']);
  });

  test('a worker stays in the mount namespace of the host: what it mounts below /run/netns outlives it', () => {
    const isolating =
      /^(Private|Protect|ReadWrite|ReadOnly|Inaccessible|Bind|TemporaryFile|Root|DynamicUser|State)\w*=/m;
    assert.not.match(unit('worker'), isolating);
  });

  test('the agent that rolls out systems is not ended by a switch, and is told what it may take', () => {
    assert.is(of('nixAgent').restarts['photoncloud-nix-agent'], false);
    const command =
      /^ExecStart=\S+\/photon nix-agent run --dir \/var\/lib\/photoncloud\/nix-agent --settings \S+\.json$/m;
    assert.match(unit('nixAgent', 'nix-agent'), command);
  });

  test('the deployer gets its token as a credential, has a deadline, and is tried again', () => {
    const text = unit('deployer');
    assert.match(text, /^LoadCredential=client\.json:\/etc\/photoncloud\/operator\.json$/m);
    const [, start = ''] = /^ExecStart=(.*)$/m.exec(text) ?? [];
    assert.match(start, /^\S+\/photon --as %d\/client\.json --tenant system apply -f \S+-photoncloud-state\.json /);
    assert.match(start, / --deployment nixos --timeout 900$/);
    assert.match(unit('emptied', 'deployer'), / --deployment nixos --prune --allow-deletes 40 --timeout 900$/m);
    for (const line of ['Type=oneshot', 'RemainAfterExit=true', 'TimeoutStartSec=930', 'Restart=on-failure'])
      assert.match(text, new RegExp(`^${line}$`, 'm'));
  });

  test('secrets in the Nix store, and problems of the declaration, stop the evaluation of a host, all at once', () => {
    const { code, stderr } = nix.run('nix-instantiate', [
      '--eval',
      '-E',
      `(import ${process.cwd()}/nix/testing/nixpkgs-lib.nix).nixosSystem {
        modules = [ ${process.cwd()}/nix/modules {
          services.photoncloud = {
            directory = "\${builtins.storeDir}/x";
            environmentFile = "\${builtins.storeDir}/z";
            deployer = { enable = true; clientFile = "\${builtins.storeDir}/y"; };
            nixAgent.enable = true;
            worker.enable = true;
            controller = { enable = true; address = "192.0.2.9"; apiListenPort = 7443; };
            tenants.acme.ports.probe.network = "front";
          };
          networking.nftables = { enable = true; flushRuleset = true; };
        } ];
      }`,
      '-A',
      'config.system.build.toplevel.drvPath',
    ]);
    assert.is.not(code, 0);
    assert.match(stderr, /- services\.photoncloud\.directory: has secrets; it must not lie in/);
    assert.match(stderr, /- services\.photoncloud\.environmentFile: has secrets; it must not lie in/);
    assert.match(stderr, /- services\.photoncloud\.deployer\.clientFile: must not lie in/);
    assert.match(stderr, /- networking\.nftables\.flushRuleset: each reload of the firewall would delete/);
    assert.match(stderr, /- services\.photoncloud\.worker\.address: systemd holds it, and it is not declared/);
    assert.match(stderr, /- services\.photoncloud\.nixAgent\.trustedPublicKeys: the agent takes what these keys/);
    assert.match(stderr, /- services\.photoncloud: two programs of this host are to listen at 192\.0\.2\.9:7443; give/);
    assert.match(stderr, /- services\.photoncloud\.tenants\.acme\.ports\.probe\.network: there is no network front/);
  });

  // Measured with systemd 252; a worker owns namespaces, taps and QEMU, and cannot give up more.
  const budgets = { store: 1.5, controller: 1.5, deployer: 1.5, worker: 7.5 };
  if (spawnSync('systemd-analyze', ['--version']).error === undefined) {
    test('systemd has nothing to say against the units, and their exposure is within its budget', () => {
      const folder = join(nix.folder, 'units');
      mkdirSync(folder);
      const sockets = Object.entries({ ...of('controller').sockets, ...of('worker').sockets });
      for (const [name, text] of sockets) writeFileSync(join(folder, `${name}.socket`), text);
      for (const [role, most] of Object.entries(budgets)) {
        const name = `photoncloud-${role}`;
        assert.equal(complaints(folder, name, unit(role)), []);
        const rated = exposure(folder, name);
        assert.ok(rated <= most, `${name} is rated ${rated}; its budget is ${most}`);
      }
      for (const [name, text] of sockets) assert.equal(complaints(folder, name, text, 'socket'), []);
    });
    test('a unit with a misspelt setting is complained about', () => {
      const text = unit('store').replace('RestartSec=', 'RestartSecs=');
      assert.is(complaints(join(nix.folder, 'units'), 'photoncloud-store', text).length, 1);
    });
  } else test.skip('NOT RUN (units judged by systemd): systemd-analyze is not installed');
}

const reason = whyNoNix();
if (reason === undefined) declare();
else test.skip(`NOT RUN, lane 1 (units of hosts): ${reason}`);

/** A file that the modules make of a declaration, as it is built. */
function built(declaration: string, file: string): unknown {
  const expression = `((import ./nix/testing/nixpkgs-lib.nix).nixosSystem {
    modules = [ ./nix/modules { services.photoncloud = ${declaration}; } ];
  }).config.services.photoncloud.${file}`;
  const { code, stdout, stderr } = nix.run('nix-build', ['--no-out-link', '-E', expression]);
  assert.is(code, 0, stderr);
  return JSON.parse(readFileSync(stdout.trim(), 'utf8'));
}

if (whyNoBuilds() === undefined) {
  test('the state file that is built is the list of documents that photon apply takes', () => {
    const documents = built('{ tenants.acme.volumes.v.sizeMib = 1; }', 'deployer.stateFile') as unknown[];
    assert.equal(
      documents.map((one) => documentSchema.parse(one).kind),
      ['tenant', 'volume'],
    );
  });
  test('the settings of nix-agent are those that it takes, with its own defaults', () => {
    const settings = built(
      '{ nixAgent = { enable = true; trustedPublicKeys = [ "ci-1:AAAA" ]; }; }',
      'nixAgent.settingsFile',
    );
    const { profile: _, current: __, ...told } = rolloutSettings.parse({ trustedPublicKeys: ['ci-1:AAAA'] });
    assert.equal(settings, told);
  });
} else test.skip(`NOT RUN, lane 2 (the files of units as they are built): ${whyNoBuilds()}`);

test.run();
