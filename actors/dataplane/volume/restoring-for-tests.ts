/** A worker that restores a volume, for tests that kill it: FOLDER SPEC, the spec as JSON. Says `begun` and `done`. */
import type { ReplicaSpec } from '@photoncloud/machines/values/wiring';
import { nextCall, testOptions } from '../dataplane-for-tests.ts';
import { createDataplane } from '../linux-dataplane.ts';

const [folder = '', spec = '{}'] = process.argv.slice(2);
const dataplane = await createDataplane(testOptions(folder));
process.stdout.write('begun\n');
await dataplane.ensureReplica(JSON.parse(spec) as ReplicaSpec, nextCall({ ownerEpoch: Date.now() }));
process.stdout.write('done\n');
await dataplane.close();
