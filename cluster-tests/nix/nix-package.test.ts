// time limit: 240 s
/**
 * The Nix files as far as they can be proved without nixpkgs: lane 0, they parse; lane 1, the flakes evaluate with the
 * test double nix/testing in the place of nixpkgs, and the `cluster` program that they build is the one of `npm run
 * cluster`. The layout that nix/package.nix makes is laid out here from the same lock by the same rule, and runs. Does
 * not prove that the package builds in nixpkgs or that a module boots a host: PHOTON_NIXPKGS=TREE names a nixpkgs for
 * the lane that evaluates with it; what needs VMs is named as not run.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkout } from '../cluster/photon-commands.ts';
import { layProductionPackages, productionPackages } from '../harness/production-packages.ts';
import { listFiles } from '../harness/tidy-sources.ts';
import { NixPlace, testing, whyNoBuilds, whyNoNix } from './nix-place.ts';

const folder = mkdtempSync(join(tmpdir(), 'photon-layout-'));
const share = join(folder, 'share');
const nix = new NixPlace();
test.after(() => {
  nix.close();
  rmSync(folder, { recursive: true, force: true });
});

const nixpkgs = process.env['PHOTON_NIXPKGS'];
const nixpkgsLib = process.env['PHOTON_NIXPKGS_LIB'];
const { version } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { version: string };

function declareEvaluations(): void {
  test('lane 0: nix files parse', () => {
    const files = listFiles(checkout).filter((path) => path.endsWith('.nix'));
    assert.ok(files.includes('flake.nix') && files.includes('nix/package.nix'), files.join(' '));
    for (const path of files) {
      const { code, stderr } = nix.parse(join(checkout, path));
      assert.is(code, 0, `${path}: ${stderr}`);
    }
  });

  test('lane 1: nix flake check evaluates every output, with the test double of nixpkgs, and writes no lock', () => {
    const { code, stderr } = nix.flake(['flake', 'check', '--no-build']);
    assert.is(code, 0, stderr);
    assert.match(stderr, /not writing modified lock file/);
  });

  test('lane 1: clusterState is the declared cluster with the documents of its tenants, from both flakes', () => {
    const stateOf = (flake: string) => {
      const { code, stdout, stderr } = nix.flake(['eval', '--json', `${flake}#clusterState`]);
      assert.is(code, 0, stderr);
      return JSON.parse(stdout) as { nodes: object; documents: readonly { kind: string; name: string }[] };
    };
    const state = stateOf('.');
    const declared = JSON.parse(readFileSync(join(checkout, 'nix/cluster/cluster.json'), 'utf8')) as { nodes: object };
    assert.equal(Object.keys(state.nodes), Object.keys(declared.nodes));
    assert.equal(
      state.documents.filter(({ kind }) => ['external-network', 'vm'].includes(kind)).map(({ name }) => name),
      ['internet', 'web-1'],
    );
    assert.equal(stateOf('./nix/test-cluster'), state);
  });

  test('nix/package.nix: its third-party packages are those of the lock, its programs those the sources start', () => {
    const evaluated = nix.evaluate(`
      let package = pkgs.callPackage (top + "/nix/package.nix") { };
      in {
        inherit (package) pname version installPhase;
        unpacked = map ({ path, tarball }: [ path tarball.url tarball.hash ])
          (import (top + "/nix/npm-packages.nix") {
            inherit (pkgs) lib fetchurl;
            lockFile = top + "/package-lock.json";
          });
      }`) as { pname: string; version: string; installPhase: string; unpacked: [string, string, string][] };
    assert.is(evaluated.pname, 'photoncloud');
    assert.is(evaluated.version, version);
    assert.equal(evaluated.unpacked.map(([path]) => path).toSorted(), productionPackages(checkout).toSorted());
    for (const [path, url, hash] of evaluated.unpacked) {
      assert.match(url, new RegExp(`^mirror://npm/${path.slice('node_modules/'.length)}/-/[^/]+[.]tgz$`));
      assert.match(hash, /^sha512-/);
      assert.ok(evaluated.installPhase.includes(`"$share/${path}"`), `${path} is not unpacked`);
    }
    // The dataplane gives its programs this PATH alone; the package puts its own in its place.
    const replaced = /--replace-fail "('[^"]+')"/.exec(evaluated.installPhase)?.[1] ?? 'nothing';
    const source = readFileSync(join(checkout, 'actors/dataplane/program.ts'), 'utf8');
    assert.is(source.split(replaced).length, 2, `${replaced} must stand once in program.ts`);
    for (const program of ['iproute2', 'util-linux', 'iputils', 'nftables', 'dnsmasq', 'qemu', 'conntrack-tools'])
      assert.match(evaluated.installPhase, new RegExp(`-${program}/bin`), program);
  });
}

const [reason, noBuilds] = [whyNoNix(), whyNoBuilds()];
if (reason === undefined) declareEvaluations();
else test.skip(`NOT RUN, lanes 0 and 1 (nix files parse and evaluate): ${reason}`);

if (noBuilds === undefined) {
  test('lane 2: nix run ./nix/test-cluster#cluster is npm run cluster', () => {
    const { code, stdout, stderr } = nix.flake(['run', './nix/test-cluster#cluster'], { given: ['no-such-verb'] });
    assert.is(code, 2, stderr);
    assert.match(`${stdout}${stderr}`, /usage: npm run cluster -- COMMAND/);
  });
} else test.skip(`NOT RUN, lane 2 (programs that flakes build): ${noBuilds}`);

if (reason === undefined && nixpkgsLib !== undefined) {
  test('lane 3: with the lib of nixpkgs, options, problems, documents and units are the same', () => {
    const valueWith = (lib: string): unknown =>
      nix.evaluate(`import (top + "/nix/testing/compared.nix") { lib = import ${lib}; }`);
    assert.equal(valueWith(join(nixpkgsLib, 'default.nix')), valueWith(`${testing}/nixpkgs-lib.nix`));
  });
} else {
  const why = reason ?? 'no lib of nixpkgs (name its folder in PHOTON_NIXPKGS_LIB)';
  test.skip(`NOT RUN, lane 3 (modules evaluated by the lib of nixpkgs): ${why}`);
}

if (reason === undefined && nixpkgs !== undefined) {
  test('lane 4: nix flake check evaluates every output with the nixpkgs of PHOTON_NIXPKGS', () => {
    const { code, stderr } = nix.flake(['flake', 'check', '--no-build'], { nixpkgs });
    assert.is(code, 0, stderr);
  });
} else {
  const why = reason ?? 'no nixpkgs (name a tree in PHOTON_NIXPKGS)';
  test.skip(`NOT RUN, lane 4 (flake, modules and hosts evaluated by nixpkgs itself): ${why}`);
}
test.skip(
  'NOT RUN, lane 5 (deployer-vm-smoke in NixOS VMs): needs KVM and nixpkgs; nix build .#checks.x86_64-linux...',
);

test('what is laid out below share/photoncloud runs with production packages alone', () => {
  for (const room of ['actors', 'machines', 'runtime']) {
    const filter = (path: string): boolean => !/node_modules|\.test\.tsx?$/.test(path.slice(checkout.length));
    cpSync(join(checkout, room), join(share, room), { recursive: true, filter });
    mkdirSync(join(share, 'node_modules/@photoncloud'), { recursive: true });
    symlinkSync(`../../${room}`, join(share, 'node_modules/@photoncloud', room));
  }
  cpSync(join(checkout, 'package.json'), join(share, 'package.json'));
  layProductionPackages(checkout, share);
  const photon = join(share, 'actors/photon/photon-main.ts');
  assert.is(execFileSync(process.execPath, [photon, '--version'], { encoding: 'utf8', stdio: 'pipe' }), `${version}\n`);
  assert.match(execFileSync(process.execPath, [photon, 'worker', '--help'], { encoding: 'utf8' }), /--dir/);
});

test.run();
