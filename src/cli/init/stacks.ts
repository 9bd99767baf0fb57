/** The data layers that `waybill init` knows, and how a first publish is written with each. */

export const stackNames = [
  ...(['pg', 'postgres', 'prisma', 'drizzle', 'kysely', 'knex', 'typeorm', 'sequelize', 'mikro-orm'] as const),
] as const
export type StackName = (typeof stackNames)[number]

export interface Stack {
  /** Packages that tell of it. */
  readonly packages: readonly string[]
  /** What a variable that holds its client is called. */
  readonly client: string
  /** Type of the client, and where it comes from. */
  readonly type: string
  readonly typeArguments?: string
  readonly module: string
  /** An interface has no value to ask a container of dependencies for. */
  readonly isInterface?: true
}

export const stacks: Readonly<Record<StackName, Stack>> = {
  pg: { packages: ['pg'], client: 'pool', type: 'Pool', module: 'pg' },
  postgres: { packages: ['postgres'], client: 'sql', type: 'Sql', module: 'postgres', isInterface: true },
  prisma: {
    packages: ['@prisma/client', 'prisma'],
    client: 'prisma',
    type: 'PrismaClient',
    module: '@prisma/client',
  },
  drizzle: {
    packages: ['drizzle-orm'],
    client: 'db',
    type: 'NodePgDatabase',
    typeArguments: '<Record<string, unknown>>',
    module: 'drizzle-orm/node-postgres',
  },
  kysely: { packages: ['kysely'], client: 'db', type: 'Kysely', typeArguments: '<any>', module: 'kysely' },
  knex: { packages: ['knex'], client: 'knex', type: 'Knex', module: 'knex', isInterface: true },
  typeorm: { packages: ['typeorm'], client: 'dataSource', type: 'DataSource', module: 'typeorm' },
  sequelize: { packages: ['sequelize'], client: 'sequelize', type: 'Sequelize', module: 'sequelize' },
  'mikro-orm': {
    packages: ['@mikro-orm/postgresql'],
    client: 'em',
    type: 'EntityManager',
    module: '@mikro-orm/postgresql',
  },
}

/** The driver under the others: a data layer of its own only where there is no other. */
const drivers: readonly StackName[] = ['pg', 'postgres']

/** The data layers among an application's packages; drivers only where nothing stands on them. */
export function stacksAmong(packages: ReadonlySet<string>): StackName[] {
  const found = stackNames.filter((name) => stacks[name].packages.some((wanted) => packages.has(wanted)))
  const layers = found.filter((name) => !drivers.includes(name))
  return layers.length > 0 ? layers : found
}
