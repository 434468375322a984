/**
 * What is wrong in a declaration is said while options are evaluated: all problems at once, each with the path of its
 * option, and nothing else. The cases and their texts are nix/testing/refusals.nix.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NixPlace, testing, whyNoNix } from './nix-place.ts';

const nix = new NixPlace();
test.after(() => nix.close());

interface Case {
  readonly says: readonly string[];
  readonly problems: readonly string[];
}

function declare(): void {
  const { base, cases } = nix.evaluate(`
    let
      refusals = import ${testing}/refusals.nix;
      problemsOf = declaration:
        ((lib.evalModules {
          modules = [
            (top + "/nix/modules/tenants.nix")
            (top + "/nix/modules/cluster.nix")
            { services.photoncloud = refusals.base; }
            { services.photoncloud = declaration; }
          ];
        }).config.services.photoncloud).problems;
    in {
      base = problemsOf { };
      cases = builtins.mapAttrs (_: one: { inherit (one) says; problems = problemsOf one.declaration; }) refusals.cases;
    }`) as { readonly base: readonly string[]; readonly cases: Readonly<Record<string, Case>> };

  test('what the cases change has no problem', () => {
    assert.equal(base, []);
  });

  for (const [name, { says, problems }] of Object.entries(cases)) {
    test(`refused: ${name}`, () => {
      assert.equal([...problems].toSorted(), [...says].toSorted());
    });
  }

  test('a single value that is none is a type error with the path of its option', () => {
    const refusalOf = (declaration: string): string => {
      const state = `import ${testing}/tenant-state.nix { lib = import ${testing}/nixpkgs-lib.nix; }`;
      const argv = ['--eval', '--strict', '--json', '-E', `${state} { tenants.acme = ${declaration}; }`];
      const { code, stderr } = nix.run('nix-instantiate', argv);
      assert.is.not(code, 0, declaration);
      return stderr;
    };
    const path = (field: string): string => `option \`services.photoncloud.tenants.acme.${field}'`;
    assert.match(
      refusalOf('{ volumes.v.sizeMib = 0; }'),
      `${path('volumes.v.sizeMib')} is not of type \`integer between 1`,
    );
    assert.match(refusalOf('{ volumes.v = { sizeMib = 1; class = "remote"; }; }'), path('volumes.v.class'));
    assert.match(refusalOf('{ ports.p = { network = "a"; address = "10.0.0.01"; }; }'), path('ports.p.address'));
    assert.match(refusalOf('{ networks.n.subnets = [ ]; }'), path('networks.n.subnets'));
    assert.match(
      refusalOf('{ networks.n.subnets = [{ cdir = "10.0.0.0/24"; }]; }'),
      /subnets\.\[0\]\.cdir' does not exist/,
    );
    assert.match(refusalOf('{ volumes.v = { }; }'), /volumes\.v\.sizeMib' was accessed but has no value/);
  });
}

const reason = whyNoNix();
if (reason === undefined) declare();
else test.skip(`NOT RUN, lane 1 (what Nix refuses): ${reason}`);

test.run();
