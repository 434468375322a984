/**
 * `node cluster-tests/guest/guest-main.ts`: builds the guest image, or finds it built, and prints where it is as JSON.
 * For people who want to start the guest by hand; programs call guest-image.ts.
 */
import { buildGuestImage } from './guest-image.ts';

const [kernelFolder] = process.argv.slice(2);
console.log(JSON.stringify(await buildGuestImage(kernelFolder === undefined ? {} : { kernelFolder }), null, 2));
