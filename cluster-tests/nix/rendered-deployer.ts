/**
 * The unit `photoncloud-deployer` that nix/modules renders of nix/cluster/tenants.nix, as words that can be run here:
 * the state file is the one that Nix has built, the program is that of the checkout, and a folder stands for the one
 * that systemd makes of LoadCredential. Used by example.test.ts.
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from '../cluster/photon-commands.ts';
import { NixPlace } from './nix-place.ts';

export interface DeployerScene {
  /** What `photon init` writes for the operator. */
  readonly client: { readonly url: string; readonly token: string; readonly caFile: string };
  /** Path of the authority's certificate. */
  readonly authority: string;
  /** Hosts of the external network, in place of those of the declared cluster. */
  readonly hosts: readonly string[];
}

export interface RenderedUnit {
  /** The words of its ExecStart. */
  readonly start: readonly string[];
  /** The plan of the same state, of the same deployment. */
  readonly plan: readonly string[];
}

export class RenderedDeployer {
  readonly #nix = new NixPlace();
  readonly #scene: DeployerScene;

  constructor(scene: DeployerScene) {
    this.#scene = scene;
  }

  /** @param change a module of tenant acme, put over what is declared, which has a port of its own besides */
  render(change = '{ }'): RenderedUnit {
    const hosts = this.#scene.hosts.map((host) => `"${host}"`).join(' ');
    return this.#render(`[
      { services.photoncloud = import ${checkout}/nix/cluster/tenants.nix; }
      { services.photoncloud.externalNetworks.internet.hosts = mkForce [ ${hosts} ]; }
      { services.photoncloud.tenants.acme.ports.probe = { network = "front"; address = "10.20.0.77"; }; }
      { services.photoncloud.tenants.acme = ${change}; }
    ]`);
  }

  /** Of a host that declares only an empty tenant `last`, and deletes what it has declared before. */
  renderLast = (): RenderedUnit =>
    this.#render(`[ { services.photoncloud = {
      tenants.last = { };
      deployer = { prune = true; allowDeletes = 40; };
    }; } ]`);

  #render(modules: string): RenderedUnit {
    const host = `
      let inherit (import ${checkout}/nix/testing/nixpkgs-lib.nix) nixosSystem mkForce;
      in (nixosSystem {
        modules = [ ${checkout}/nix/modules { services.photoncloud.deployer.enable = true; } ] ++ ${modules};
      }).config`;
    const built = this.#must('nix-build', '--no-out-link', '-E', `(${host}).services.photoncloud.deployer.stateFile`);
    const unit = this.#must('nix-instantiate', '--eval', '--json', '-E', `(${host}).units.photoncloud-deployer`);
    const text = JSON.parse(unit) as string;
    const [, start = ''] = /^ExecStart=(.*)$/m.exec(text) ?? [];
    const [, ...words] = start.replaceAll('%d', this.#credentials(text)).split(' ');
    if (!words.includes(built)) throw new Error(`${start} does not name ${built}`);
    const photon = [process.execPath, join(checkout, 'actors/photon/photon-main.ts')];
    const toPlan = words.slice(0, words.indexOf('apply'));
    return {
      start: [...photon, ...words],
      plan: [...photon, ...toPlan, 'plan', '-f', built, '--deployment', 'nixos'],
    };
  }

  /** What systemd makes of the lines LoadCredential=name:path. @returns the folder */
  #credentials(unit: string): string {
    const folder = join(this.#nix.folder, 'credentials');
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const [, name = ''] of unit.matchAll(/^LoadCredential=([^:]+):/gm))
      if (name === 'ca.crt') copyFileSync(this.#scene.authority, join(folder, name));
      else writeFileSync(join(folder, name), JSON.stringify(this.#scene.client), { mode: 0o600 });
    return folder;
  }

  #must(program: string, ...argv: readonly string[]): string {
    const { code, stdout, stderr } = this.#nix.run(program, argv);
    if (code !== 0) throw new Error(`${program} ended with ${code}:\n${stderr}`);
    return stdout.trim();
  }

  close(): void {
    this.#nix.close();
  }
}
