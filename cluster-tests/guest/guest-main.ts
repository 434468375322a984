/**
 * `node cluster-tests/guest/guest-main.ts [KERNEL-FOLDER]`: builds the guest image unless it is built already, and
 * prints its paths as JSON. For people who want to start the guest by hand; programs call guest-image.ts.
 */
import { buildGuestImage } from './guest-image.ts';

const [kernelFolder] = process.argv.slice(2);
console.log(JSON.stringify(await buildGuestImage(kernelFolder === undefined ? {} : { kernelFolder }), null, 2));
