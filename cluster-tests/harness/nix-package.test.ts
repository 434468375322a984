/**
 * The Nix files, as far as they can be proved without nixpkgs: they parse, and they evaluate with a stand-in for what
 * they take from nixpkgs (where nix-instantiate is installed). The layout that nix/package.nix makes is laid out here
 * from the same lock by the same rule, and runs. Evaluation needs no network and no daemon.
 * Does not prove that the package builds in nixpkgs or that the module boots a host.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { layProductionPackages, productionPackages } from './production-packages.ts';
import { listFiles } from './tidy-sources.ts';

const top = join(import.meta.dirname, '../..');
const standIn = join(import.meta.dirname, 'fixtures/nixpkgs-stand-in.nix');
const folder = mkdtempSync(join(tmpdir(), 'photon-nix-'));
const share = join(folder, 'share');
const nixFiles = listFiles(top).filter((path) => path.endsWith('.nix'));
test.after(() => {
  rmSync(folder, { recursive: true, force: true });
});

const isInstalled = (program: string): boolean => {
  try {
    return execFileSync('which', [program], { stdio: 'pipe' }).length > 0;
  } catch {
    return false; // which says no by its exit code
  }
};

/** Folders of its own for everything that Nix would keep below /nix, /etc and the home of its user. */
const nixEnvironment = {
  HOME: join(folder, 'home'),
  NIX_STORE_DIR: join(folder, 'store'),
  NIX_STATE_DIR: join(folder, 'state'),
  NIX_LOG_DIR: join(folder, 'log'),
  NIX_CONF_DIR: join(folder, 'conf'),
  NIX_PATH: '',
};

const nixInstantiate = (...argv: readonly string[]): string => {
  const env = { ...process.env, ...nixEnvironment };
  return execFileSync('nix-instantiate', argv, { encoding: 'utf8', env, stdio: 'pipe' });
};

/** The value of an expression in which `top` is the checkout and `pkgs` the stand-in. */
const evaluate = (expression: string): unknown =>
  JSON.parse(
    nixInstantiate(
      '--eval',
      '--strict',
      '--json',
      '-E',
      `let top = ${top}; pkgs = import ${standIn}; in ${expression}`,
    ),
  );

function declareNixTests(): void {
  test('nix files parse', () => {
    assert.ok(nixFiles.includes('flake.nix') && nixFiles.includes('nix/package.nix'), nixFiles.join(' '));
    for (const path of nixFiles) nixInstantiate('--parse', join(top, path));
  });

  test('nix/package.nix evaluates: its third-party packages are those of the lock, its sources the workspaces', () => {
    const evaluated = evaluate(`
      let
        package = pkgs.callPackage (top + "/nix/package.nix") { };
        keeps = path: type: package.src.filter (toString top + "/" + path) type;
      in {
        inherit (package) pname version installPhase;
        kept = builtins.filter (path: keeps path "regular") [
          "actors/photon/photon-launcher.ts" "runtime/journal/scripts/commit.lua" "machines/vm/vm-machine.ts"
          "machines/vm/vm-machine.test.ts" "cluster-tests/setup/run.sh" "docs/map.md" "package.json" "LICENSE"
        ];
        unpacked = map ({ path, tarball }: [ path tarball.url tarball.hash ])
          (import (top + "/nix/npm-packages.nix") {
            inherit (pkgs) lib fetchurl;
            lockFile = top + "/package-lock.json";
          });
      }`) as {
      pname: string;
      version: string;
      installPhase: string;
      kept: string[];
      unpacked: [string, string, string][];
    };
    assert.is(evaluated.pname, 'photoncloud');
    assert.equal(evaluated.kept, [
      'actors/photon/photon-launcher.ts',
      'runtime/journal/scripts/commit.lua',
      'machines/vm/vm-machine.ts',
      'package.json',
      'LICENSE',
    ]);
    assert.equal(evaluated.unpacked.map(([path]) => path).toSorted(), productionPackages(top).toSorted());
    for (const [path, url, hash] of evaluated.unpacked) {
      assert.match(url, new RegExp(`^mirror://npm/${path.slice('node_modules/'.length)}/-/[^/]+[.]tgz$`));
      assert.match(hash, /^sha512-/);
      assert.ok(evaluated.installPhase.includes(`"$share/${path}"`), `${path} is not unpacked`);
    }
    assert.match(evaluated.installPhase, /makeWrapper \/stand-in\/nodejs_24\/bin\/node "\$out\/bin\/photon"/);
  });

  test('flake.nix offers the package, the program, the shell and the module', () => {
    const evaluated = evaluate(`
      let
        flake = (import (top + "/flake.nix")).outputs {
          self = flake;
          nixpkgs.legacyPackages.x86_64-linux = pkgs;
        };
        module = flake.nixosModules.default { inherit pkgs; inherit (pkgs) lib; };
      in {
        package = flake.packages.x86_64-linux.default.pname;
        inherit (flake.apps.x86_64-linux.default) program;
        shell = map (package: package.name) flake.devShells.x86_64-linux.default.packages;
        modulePackage = module.services.photoncloud.package.pname;
        imports = map toString module.imports;
      }`) as { package: string; program: string; shell: string[]; modulePackage: string; imports: string[] };
    assert.is(evaluated.package, 'photoncloud');
    assert.is(evaluated.modulePackage, 'photoncloud');
    assert.is(evaluated.program, '/stand-in/photoncloud/bin/photon');
    assert.ok(evaluated.shell.includes('nodejs_24') && evaluated.shell.includes('nix'), evaluated.shell.join(' '));
    assert.equal(evaluated.imports, [join(top, 'nix/modules/photoncloud.nix')]);
  });

  test('nix/cluster gives every node of cluster.json the roles of its programs', () => {
    const { nodes, configurations } = evaluate('import (top + "/nix/cluster")') as {
      nodes: Record<string, { roles: string[] }>;
      configurations: Record<string, { services: { photoncloud: { roles: string[] } } }>;
    };
    const declared = JSON.parse(readFileSync(join(top, 'nix/cluster/cluster.json'), 'utf8')) as { nodes: object };
    assert.equal(nodes, declared.nodes);
    const roles = Object.entries(configurations).map(([name, { services }]) => [name, ...services.photoncloud.roles]);
    const controllers = ['node01', 'node02', 'node03'].map((name) => [name, 'controller']);
    assert.equal(roles, [...controllers, ...['node04', 'node05', 'node06'].map((name) => [name, 'worker'])]);
  });

  test('the NixOS module starts what its roles name, and nothing without a role', () => {
    const configured = (roles: string): unknown =>
      evaluate(`
        let
          module = import (top + "/nix/modules/photoncloud.nix") {
            inherit (pkgs) lib;
            config.services.photoncloud = {
              package = pkgs.callPackage (top + "/nix/package.nix") { };
              directory = "/var/lib/photoncloud";
              openListenPorts = [ 7443 ];
              roles = [ ${roles} ];
            };
          };
          services = module.config.systemd.services or { };
          started = pkgs.lib.filterAttrs (name: service: service != { }) services;
        in {
          ports = module.config.networking.firewall.allowedTCPPorts or [ ];
          starts = builtins.mapAttrs (name: service: service.serviceConfig.ExecStart) started;
          mayBe = module.options.services.photoncloud.roles.type;
        }`);
    const mayBe = [['store', 'controller', 'worker']];
    assert.equal(configured(''), { ports: [], starts: {}, mayBe });
    assert.equal(configured('"worker" "store"'), {
      ports: [7443],
      starts: {
        'photoncloud-store': '/stand-in/photoncloud/bin/photon store --dir /var/lib/photoncloud/store',
        'photoncloud-worker': '/stand-in/photoncloud/bin/photon worker --dir /var/lib/photoncloud/worker',
      },
      mayBe,
    });
  });
}

if (isInstalled('nix-instantiate')) declareNixTests();
else test.skip('nix files parse and evaluate: nix-instantiate is not installed');

test('what is laid out below share/photoncloud runs with production packages alone', () => {
  for (const room of ['actors', 'machines', 'runtime']) {
    const filter = (path: string): boolean => !/node_modules|\.test\.tsx?$/.test(path.slice(top.length));
    cpSync(join(top, room), join(share, room), { recursive: true, filter });
    mkdirSync(join(share, 'node_modules/@photoncloud'), { recursive: true });
    symlinkSync(`../../${room}`, join(share, 'node_modules/@photoncloud', room));
  }
  cpSync(join(top, 'package.json'), join(share, 'package.json'));
  layProductionPackages(top, share);
  const photon = join(share, 'actors/photon/photon-main.ts');
  const { version } = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8')) as { version: string };
  assert.is(execFileSync(process.execPath, [photon, '--version'], { encoding: 'utf8', stdio: 'pipe' }), `${version}\n`);
  assert.match(execFileSync(process.execPath, [photon, 'worker', '--help'], { encoding: 'utf8' }), /--dir/);
});

test.run();
