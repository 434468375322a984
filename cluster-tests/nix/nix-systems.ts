/**
 * Small systems for tests of roll outs, built with the real Nix, signed, and put into a cache: each has a part, and a
 * switch-to-configuration that links it as the current system. What NixOS's own switch does is not tried with them.
 */
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { NixPlace } from './nix-place.ts';

export interface SystemPlan {
  readonly name: string;
  /** What its activation does before the system is linked; its exit code is that of the switch. */
  readonly script?: string;
}

/** The expression of a system whose activation links it at `current`. */
function expressionOf({ name, script = '' }: SystemPlan, current: string): string {
  const derive = (what: string, steps: string, rest = ''): string => `derivation {
    name = "${what}"; system = "x86_64-linux"; builder = "/bin/sh"; PATH = "/usr/bin:/bin";
    args = [ "-ec" ''${steps}'' ]; ${rest}
  }`;
  const part = derive(`etc-${name}`, `echo ${name} > $out`);
  const switching = ['#!/bin/sh', 'set -e', '# $etc', script, `ln -sfn $out ${current}`].join('\n');
  return derive(
    `nixos-system-${name}`,
    `mkdir -p $out/bin; cat > $out/bin/switch-to-configuration <<END
${switching}
END
     chmod 755 $out/bin/switch-to-configuration`,
    `etc = ${part};`,
  );
}

export class NixSystems {
  readonly #place: NixPlace;
  readonly #current: string;

  /** @param current where a system that is activated is linked */
  constructor(place: NixPlace, current: string) {
    this.#place = place;
    this.#current = current;
    this.must('nix-store', '--generate-binary-cache-key', 'ci-1', this.#of('secret'), this.#of('public'));
  }

  #of = (name: string): string => join(this.#place.folder, name);

  get publicKey(): string {
    return this.#of('public');
  }

  must(program: string, ...argv: readonly string[]): string {
    const { code, stdout, stderr } = this.#place.run(program, argv);
    assert.is(code, 0, `${program} ${argv.join(' ').slice(0, 200)}\n${stderr}`);
    return stdout.trim();
  }

  /** @returns its store path */
  build = (plan: SystemPlan): string =>
    this.must('nix-build', '--no-out-link', '-E', expressionOf(plan, this.#current));

  /** @returns the address of a cache that has these closures */
  cache(name: string, isSigned: boolean, ...systems: readonly string[]): string {
    const address = `file://${this.#of(name)}`;
    this.must('nix', 'copy', '--to', isSigned ? `${address}?secret-key=${this.#of('secret')}` : address, ...systems);
    return address;
  }
}
