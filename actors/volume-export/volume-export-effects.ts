/** Effects of a volume's exports on the host of its bytes. */
import type { volumeExportKind } from '@photoncloud/machines/volume-export/volume-export-protocol';
import type { ExportDataplane } from '../dataplane/contract/export-contract.ts';
import type { PerformersOf } from '../kind/kind-definition.ts';

export const volumeExportPerformers = (exports: ExportDataplane): PerformersOf<typeof volumeExportKind> => ({
  'export.serve': {
    timeoutMs: 60_000,
    perform: async ({ spec }, call) => ({ served: [...(await exports.ensureExports(spec, call))] }),
  },
  'export.watch': { timeoutMs: null, perform: ({ spec }, call) => exports.watchExports(spec, call) },
  'export.cut': {
    timeoutMs: 60_000,
    perform: async ({ spec: { owner, volumeUid } }, call) => {
      await exports.removeExports({ owner, volumeUid }, call);
      return {};
    },
  },
});
