/** Program: writes the generated documents of the wire format; run it after a change of api-schema.ts. */
import { writeSchemaFiles } from './schema-files.ts';

writeSchemaFiles();
