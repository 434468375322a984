/**
 * docs/how-to/roll-out-on-nixos.md is true to what exists: its modules evaluate together on a host without a problem,
 * and become the units and documents it speaks of, its `photon init` makes the folders that it copies, and the commands
 * it names are commands of photon.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkout } from '../cluster/photon-commands.ts';
import { NixPlace, testing, whyNoNix } from './nix-place.ts';

const nix = new NixPlace();
const folder = mkdtempSync(join(tmpdir(), 'photon-roll-out-'));
test.after(() => {
  nix.close();
  rmSync(folder, { recursive: true, force: true });
});

const page = readFileSync(join(checkout, 'docs/how-to/roll-out-on-nixos.md'), 'utf8');
const blocks = (language: string): readonly string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, 'gm'))].map(([, text = '']) => text);
const photon = join(checkout, 'actors/photon/photon-main.ts');
/** Lines of shell, joined where they go on. */
const commands = blocks('sh')
  .join('')
  .replaceAll(/\\\n\s*/g, '')
  .split('\n')
  .filter((line) => line !== '');

function declare(): void {
  test('its modules are a host with a store, a controller and a deployer, without a problem', () => {
    const modules = blocks('nix').filter((text) => /^#.*\n\{\n {2}services\.photoncloud = \{/.test(text));
    assert.is(modules.length, 2);
    const { units, kinds, tcp } = nix.evaluate(`
      let host = lib.nixosSystem {
        modules = [
          (top + "/nix/modules")
          (${modules.join(') (')})
          { services.photoncloud.node = "control"; }
        ];
      };
      in {
        kinds = map (one: one.kind) host.config.services.photoncloud.documents;
        tcp = host.config.networking.firewall.allowedTCPPorts;
        units = builtins.seq host.config.system.build.toplevel.drvPath (builtins.attrNames host.config.units);
      }`) as { units: readonly string[]; kinds: readonly string[]; tcp: readonly number[] };
    assert.equal(units, ['photoncloud-controller', 'photoncloud-deployer', 'photoncloud-store']);
    assert.equal(kinds, ['tenant', 'network', 'security-group', 'image', 'volume', 'vm']);
    assert.equal([...tcp].toSorted(), [6379, 7443, 7444]);
    for (const unit of units) if (unit === 'photoncloud-deployer') assert.match(page, `\`${unit}\``);
  });

  /** A value of the hosts of its flake, in a folder with the files that it tells to make. */
  const hostsOf = (apply: string, nixpkgs: string): unknown => {
    const home = join(folder, 'home');
    mkdirSync(join(home, 'hardware'), { recursive: true });
    for (const text of blocks('nix')) {
      const [, name] = /^# (\S+\.nix)\n/.exec(text) ?? [];
      if (name !== undefined) writeFileSync(join(home, name), text);
    }
    for (const host of ['control', 'work-1', 'work-2'])
      copyFileSync(join(checkout, 'nix/cluster/machine.nix'), join(home, 'hardware', `${host}.nix`));
    const inputs = ['nixpkgs', `path:${nixpkgs}`, 'photoncloud', `git+file://${checkout}`];
    const overrides = [inputs.slice(0, 2), inputs.slice(2)].flatMap((one) => ['--override-input', ...one]);
    const argv = ['eval', '--json', `path:${home}#nixosConfigurations`, '--apply', `builtins.mapAttrs (_: ${apply})`];
    const { code, stdout, stderr } = nix.run('nix', [...argv, ...overrides]);
    assert.is(code, 0, stderr);
    return JSON.parse(stdout);
  };

  test('its flake, with the files that it tells to make, has these hosts', () => {
    const worker = ['photoncloud-worker'];
    assert.equal(hostsOf('host: builtins.attrNames host.config.units', testing), {
      control: ['photoncloud-controller', 'photoncloud-store'],
      'work-1': worker,
      'work-2': worker,
    });
  });

  const nixpkgs = process.env['PHOTON_NIXPKGS'];
  if (nixpkgs === undefined) test.skip('NOT RUN, lane 4 (its hosts evaluated by NixOS): name a tree in PHOTON_NIXPKGS');
  else
    test('lane 4: NixOS evaluates its hosts, each to a whole system', () => {
      const systems = hostsOf('host: host.config.system.build.toplevel.drvPath', nixpkgs) as Record<string, string>;
      for (const [name, path] of Object.entries(systems))
        assert.match(path, new RegExp(`-nixos-system-${name}-.*[.]drv$`));
    });
}

const reason = whyNoNix();
if (reason === undefined) declare();
else test.skip(`NOT RUN, lane 1 (the modules of the page): ${reason}`);

test('its photon init makes the folders that are copied to the hosts', () => {
  const [init = ''] = commands.filter((line) => line.startsWith('photon init '));
  execFileSync(process.execPath, [photon, ...init.split(/\s+/).slice(1)], { cwd: folder, stdio: 'pipe' });
  const copied = commands.flatMap((line) => line.match(/\blab\/\S+/g) ?? []);
  assert.ok(copied.length >= 7, copied.join(' '));
  for (const path of copied) assert.ok(existsSync(join(folder, path)), `${path} is not made by: ${init}`);
});

test('the commands of photon that it names exist', () => {
  const helpOf = (...words: readonly string[]): string =>
    execFileSync(process.execPath, [photon, ...words, '--help'], { encoding: 'utf8' });
  const [all, ofNode] = [helpOf(), helpOf('node')];
  const named = commands.filter((line) => line.startsWith('photon --as ')).map((line) => line.split(/\s+/).slice(3));
  assert.ok(named.length >= 4);
  for (const [command = '', sub = ''] of named) {
    assert.match(all, new RegExp(`^ +${command}\\b`, 'm'), command);
    if (command === 'node') assert.match(ofNode, new RegExp(`^ +${sub}\\b`, 'm'), sub);
  }
  const ofAgent = helpOf('nix-agent');
  const asked = commands.flatMap((line) => / photon nix-agent (\w+)/.exec(line)?.[1] ?? []);
  assert.equal(asked, ['request', 'status', 'confirm']);
  for (const verb of asked) assert.match(ofAgent, new RegExp(`^ +${verb}\\b`, 'm'), verb);
});

test.run();
