/** Program: writes the committed documents of the wire again after a change of api-schema.ts. */
import { writeSchemaFiles } from './schema-files.ts';

writeSchemaFiles();
