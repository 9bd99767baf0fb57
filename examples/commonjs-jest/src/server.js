const pg = require('pg')
const { createApp } = require('./app')
const { applySchema } = require('./database')
const { queue } = require('./queue')

async function main() {
  const { BANK_SECRET: bankSecret, DATABASE_URL: connectionString, PORT = '3000' } = process.env
  if (!bankSecret || !connectionString) throw new Error('set DATABASE_URL and BANK_SECRET')
  const pool = new pg.Pool({ connectionString })
  await applySchema(pool)
  const server = createApp({ pool, bankSecret }).listen(Number(PORT), () => console.log(`listening on port ${PORT}`))
  process.once('SIGTERM', () => server.close(() => Promise.all([queue.close(), pool.end()])))
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
