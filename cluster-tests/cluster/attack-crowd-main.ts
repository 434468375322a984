/** `attack-crowd-main.ts PLAN`: the process of a crowd of attack-crowd.ts. Prints what it did as one line of JSON. */
import { crowds, type CrowdPlan } from './attack-crowd.ts';

const plan = JSON.parse(process.argv[2] ?? '') as CrowdPlan;
console.log(JSON.stringify(await crowds[plan.crowd](plan)));
process.exit(0);
