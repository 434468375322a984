/** Lays out one chart on a thread of its own: the layout would block a node's event loop for hundreds of ms. */
import { parentPort, workerData } from 'node:worker_threads';
import { PhotonError } from '../contract/errors.ts';
import type { Chart } from './chart-ir.ts';
import { layoutChart } from './chart-layout.ts';

try {
  parentPort?.postMessage({ placed: await layoutChart(workerData as Chart) });
} catch (error) {
  const message = error instanceof PhotonError ? error.message : `The layout failed: ${String(error)}`;
  parentPort?.postMessage({ failure: message });
}
