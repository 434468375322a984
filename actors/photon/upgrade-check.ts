/**
 * `photon upgrade check`: whether this release could load every actor of a cluster that runs another release. It reads
 * the store with the password in a node's folder and writes nothing. Run it from the new release before the first node
 * is replaced. Called by upgrade-commands.ts.
 */
import { cleanLine } from '@photoncloud/runtime/contract/shown-text';
import { systemClock } from '@photoncloud/runtime/hosting/system-clock';
import { checkPopulation } from '@photoncloud/runtime/hosting/population-check';
import { createReader } from '@photoncloud/runtime/journal/redis-reader';
import { connectStore } from '@photoncloud/runtime/journal/store-connection';
import { createLog } from '@photoncloud/runtime/telemetry/log';
import { createRegistry } from '../registry.ts';
import { exitCodes } from './cli/cli-session.ts';
import { callerPath } from './cli/cli-options.ts';
import { jsonText, say, warn } from './cli/terminal-text.ts';
import { textTable } from './cli/text-table.ts';
import { noAgent, noDataplane, noDeployer, noHosts, noRollouts } from './no-dataplane.ts';
import { openNodeFolder, storeUrlOf } from './node-config.ts';

const shownRefusals = 20;

/** @returns the exit code */
export async function checkUpgrade(path: string, output: string): Promise<number> {
  const folder = openNodeFolder(callerPath(path));
  // Errors of the store are thrown and printed; log lines would repeat them.
  const log = createLog({ level: 'silent' });
  const url = storeUrlOf(folder, process.env['REDIS_URL']);
  warn(`reading the store at ${url.replace(/\/\/[^@/]*@/, '//')}`);
  const store = await connectStore({ url, prefix: `ph:${folder.config.cluster}:`, clock: systemClock, log });
  try {
    const reader = createReader({ store, clock: systemClock, log });
    const found = await checkPopulation(reader, createRegistry(noDataplane, noAgent, noHosts, noDeployer, noRollouts));
    const exitCode = found.refused.length === 0 ? exitCodes.ok : exitCodes.refused;
    if (output === 'json') {
      say(jsonText(found, 2));
      return exitCode;
    }
    const rows = found.rows.map((row) => [
      row.kind,
      String(row.storedVersion),
      String(row.programVersion ?? '-'),
      row.stateName,
      String(row.actors),
      row.verdict,
    ]);
    say(textTable(['kind', 'stored', 'program', 'state', 'actors', 'verdict'], rows));
    for (const { reason } of found.refused.slice(0, shownRefusals)) say(`refused: ${cleanLine(reason)}`);
    const all = found.rows.reduce((sum, { actors }) => sum + actors, 0);
    say(`${all} actors, ${found.refused.length} would be refused`);
    return exitCode;
  } finally {
    store.close();
  }
}
