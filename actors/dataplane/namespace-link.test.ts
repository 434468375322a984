/**
 * The tools of a namespace go on as long as they know no older device of a name: one that they were asked for while it
 * was not there costs no start of a program, one that comes back does. On the real kernel.
 */
// needs: kernel
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inOwnNamespaces, run } from './dataplane-for-tests.ts';
import { command } from './kernel-command.ts';
import { NamespaceLink } from './namespace-link.ts';

inOwnNamespaces(import.meta.filename, () => {
  const link = new NamespaceLink(null);
  test.after(() => link.close());

  const tools = (): string => readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim();
  const mac = '02:00:00:00:00:09';
  const [add, up] = [command`link add br9 type bridge`, command`link set br9 up`];
  const entry = command`fdb replace ${mac} dev br9 self permanent`;

  /** Makes the device and uses it in both tools. */
  async function make(): Promise<void> {
    await link.ip('making it', [add]);
    link.appeared('br9');
    await link.ip('setting it up', [up]);
    await link.bridge('adding an entry', [entry]);
  }

  const isWhole = async (): Promise<boolean> => {
    const shown = await run('ip', 'link', 'show', 'br9');
    return /[<,]UP[,>]/.test(shown) && (await run('bridge', 'fdb', 'show', 'dev', 'br9')).includes(mac);
  };

  test('a device that was not there when the tools were asked for it is served by the same tools', async () => {
    assert.is(await link.link('br9'), null);
    assert.equal(await link.fdbOf('br9'), []);
    const before = tools();
    assert.is(before.split(' ').length, 2);
    await make();
    assert.ok(await isWhole());
    assert.is(tools(), before);
  });

  test('a device that comes back under its name is served by new tools, whoever has deleted it', async () => {
    for (const remove of [
      () => link.ip('removing it', [command`link delete br9`]),
      () => run('ip', 'link', 'del', 'br9'),
    ]) {
      await remove();
      await make();
      assert.ok(await isWhole());
    }
  });

  test('a route is removed by its protocol, whichever other protocols the tool was asked for meanwhile', async () => {
    const route = (verb: 'add' | 'delete') => command`route ${verb} local 10.9.9.9 dev lo proto 4`;
    await link.ip('adding a route', [command`link set lo up`, route('add')]);
    assert.equal(await link.routesBy(80), []);
    await link.ip('removing a route', [route('delete')]);
    assert.throws(() => command`route add local 10.9.9.9 dev lo proto static`, /must be a number/);
  });

  test('the name of a device that is asked for while it appears counts as known', async () => {
    await run('ip', 'link', 'del', 'br9');
    const asked = link.link('br9');
    const before = tools();
    link.appeared('br9');
    assert.is(await asked, null);
    await make();
    assert.ok(await isWhole());
    assert.is.not(tools(), before);
  });
});

test.run();
