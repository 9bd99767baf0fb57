/** What the packages of an application tell of it. */

export const frameworks = ['nestjs', 'fastify', 'express', 'hono'] as const
export type Framework = (typeof frameworks)[number] | 'none'
export type TestRunner = 'vitest' | 'jest' | 'none'
export const destinationKinds = ['rabbitmq', 'kafka', 'webhook', 'jobs'] as const
export type DestinationKind = (typeof destinationKinds)[number]

const frameworkPackages: Readonly<Record<(typeof frameworks)[number], string>> = {
  // first: NestJS stands on Express or Fastify
  nestjs: '@nestjs/common',
  fastify: 'fastify',
  express: 'express',
  hono: 'hono',
}

export function frameworkAmong(packages: ReadonlySet<string>): Framework {
  return frameworks.find((name) => packages.has(frameworkPackages[name])) ?? 'none'
}

export function testRunnerAmong(packages: ReadonlySet<string>): TestRunner {
  return (['vitest', 'jest'] as const).find((name) => packages.has(name)) ?? 'none'
}

/** The brokers that it has a client of; without any, jobs, which need nothing but the database. */
export function destinationsAmong(packages: ReadonlySet<string>): DestinationKind[] {
  const brokers: DestinationKind[] = []
  if (packages.has('amqplib')) brokers.push('rabbitmq')
  if (packages.has('kafkajs')) brokers.push('kafka')
  return brokers.length > 0 ? brokers : ['jobs']
}
