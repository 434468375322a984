/** The charts of the product, as they are laid out: no state is narrower than what is written in it. */
import { createRegistry } from '@photoncloud/actors/registry';
import { noAgent, noDataplane, noDeployer, noHosts, noRollouts } from '@photoncloud/actors/photon/no-dataplane';
import { layoutChart } from '@photoncloud/runtime/inspector/chart-layout';
import { chartOfDefinition } from '@photoncloud/runtime/inspector/chart-store';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

test('title and rows of every state fit into its box', async () => {
  const spilling: string[] = [];
  for (const definition of createRegistry(noDataplane, noAgent, noHosts, noDeployer, noRollouts).kinds.values()) {
    const { boxes } = await layoutChart(chartOfDefinition(definition));
    for (const { state, head, x, width } of boxes)
      if (head.x + head.width > x + width + 1) spilling.push(`${definition.kind} ${state.id}`);
  }
  assert.equal(spilling, []);
});

test.run();
