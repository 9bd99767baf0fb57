const pg = require('pg')
const { applySchema } = require('../src/database')

/** Once, before all test files. Waybill's own schema is there already: `npx waybill migrate`. */
module.exports = async () => {
  const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
  try {
    await applySchema(pool)
  } finally {
    await pool.end()
  }
}
