/**
 * What hosts are told of service IPs: the elements of section `service-ips`, keyed by the id of the service IP. Written
 * by the kind service-ip, realized on every host of the VPC, and of the VPCs that it is peered with.
 */
import { z } from 'zod';
import type { ValueOf } from './kind.ts';

export const serviceIpsSection = 'service-ips';

/** Bounds of one service IP. */
export const maxServicePorts = 16;
export const maxBackends = 64;

const portNumber = z.int().min(1).max(65_535);

export const serviceProtocols = ['tcp', 'udp'] as const;
export const serviceProtocolSchema = z.enum(serviceProtocols);
export type ServiceProtocol = ValueOf<typeof serviceProtocolSchema>;

/** A port of the service IP, and the port of every backend that it leads to. */
export const servicePortSchema = z.strictObject({
  protocol: serviceProtocolSchema,
  port: portNumber,
  targetPort: portNumber,
});
export type ServicePort = ValueOf<typeof servicePortSchema>;

/** `none`: each flow to any backend; `source`: all flows of one source address to one backend while it serves. */
export const affinitySchema = z.enum(['none', 'source']);
export type Affinity = ValueOf<typeof affinitySchema>;

/** An element of section `service-ips`. */
export const serviceIpElement = z.strictObject({
  /** IPv4 address of the service IP; every host of the VPC answers for it. */
  address: z.string(),
  /** No two have the same protocol and port. */
  ports: z.array(servicePortSchema).min(1).max(maxServicePorts),
  /** IPv4 addresses of the ports that serve, in ascending order; without any, flows are refused. */
  backends: z.array(z.string()).max(maxBackends),
  affinity: affinitySchema,
});
export type ServiceIpElement = ValueOf<typeof serviceIpElement>;

/** How a host finds out whether a backend serves. */
export const healthCheckSchema = z.strictObject({
  protocol: z
    .enum(['tcp', 'http'])
    .describe('tcp: a connection is accepted; http: a GET is answered with a status of 200 to 399.'),
  port: portNumber
    .nullable()
    .default(null)
    .describe('Port of the backends; null: the target port of the first tcp port of the service IP.'),
  path: z
    .string()
    .max(200)
    .regex(/^\/[!-~]*$/, 'must begin with / and have neither spaces nor other than ASCII characters')
    .nullable()
    .default(null)
    .describe('Of http: path and query of the GET; null: /.'),
  intervalSeconds: z.int().min(1).max(300).default(5).describe('Between the beginnings of two checks of a backend.'),
  timeoutSeconds: z.int().min(1).max(60).default(2).describe('A check that takes longer has failed.'),
  rise: z.int().min(1).max(10).default(2).describe('Successes in a row after which a backend serves again.'),
  fall: z.int().min(1).max(10).default(3).describe('Failures in a row after which a backend serves no longer.'),
});
export type HealthCheck = ValueOf<typeof healthCheckSchema>;

/** What a host checks of a service IP, with everything resolved: params of the effect `service.check`. */
export const checkSpecSchema = z.object({
  /** Actor ids. */
  serviceIp: z.string(),
  vpc: z.string(),
  check: healthCheckSchema.extend({ port: portNumber, path: z.string() }),
});
export type CheckSpec = ValueOf<typeof checkSpecSchema>;

/**
 * A backend and what its host knows of it. The first result of a backend without a verdict is its verdict; after that
 * `rise` or `fall` results in a row change it.
 */
export const checkedBackendSchema = z.object({
  address: z.string(),
  /** Null before the first result. */
  healthy: z.boolean().nullable(),
  /** Results in a row that contradict the verdict. */
  streak: z.int().min(0),
  /** One sentence about the newest result that contradicts or made the verdict; empty before the first. */
  detail: z.string().max(300),
});
export type CheckedBackend = ValueOf<typeof checkedBackendSchema>;
