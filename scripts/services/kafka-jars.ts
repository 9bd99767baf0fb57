import { existsSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { withLock } from './lock.js'
import { cacheDirectory } from './paths.js'
import { run } from './processes.js'

export const kafkaVersion = '4.1.1'
const log4jVersion = '2.24.3'

/** Brings the broker's jars from Maven Central into the cache, once for each version; returns the class path. */
export async function kafkaClassPath(progress: (text: string) => void): Promise<string> {
  const home = join(cacheDirectory(), `kafka-${kafkaVersion}`)
  const jars = join(home, 'jars')
  // Two sets of services may want the jars at once.
  await withLock(
    join(cacheDirectory(), 'kafka.lock'),
    () => progress('waiting for another download of Kafka'),
    async () => {
      if (existsSync(jars)) return
      progress(`downloading Kafka ${kafkaVersion} from Maven Central (about 55 MB, once)`)
      const partial = join(home, 'partial')
      await rm(partial, { recursive: true, force: true })
      await mkdir(partial, { recursive: true })
      await writeFile(join(home, 'pom.xml'), pom())
      await run('mvn', ['-B', '-q', 'dependency:copy-dependencies', `-DoutputDirectory=${partial}`], { cwd: home })
      // The name appears only when everything is there: an interrupted download is started over.
      await rename(partial, jars)
    },
  )
  return join(jars, '*')
}

function pom(): string {
  const dependency = (group: string, artifact: string, version: string) =>
    `    <dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>waybill</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
${dependency('org.apache.kafka', 'kafka_2.13', kafkaVersion)}
${dependency('org.apache.kafka', 'kafka-tools', kafkaVersion)}
${dependency('org.apache.logging.log4j', 'log4j-slf4j-impl', log4jVersion)}
  </dependencies>
</project>
`
}
