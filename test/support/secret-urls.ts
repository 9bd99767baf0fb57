/**
 * Forms in which people give a database's URL, and that are none, with a password in each: as consoles of hosted databases,
 * `.env` files and other tools show it. `secret` has to be left out of whatever is said about it.
 */
export function wrongDatabaseUrls(secret: string): Readonly<Record<string, string>> {
  const at = '127.0.0.1:5432'
  const good = `postgres://app:${secret}@${at}/shop`
  return {
    'double quotes': `"${good}"`,
    'single quotes': `'${good}'`,
    'typographic quotes': `“${good}”`,
    'low quotes': `„${good}“`,
    'one quote left': `'${good}`,
    backticks: `\`${good}\``,
    'angle brackets': `<${good}>`,
    psql: `psql '${good.replace('postgres', 'postgresql')}?sslmode=require'`,
    'psql without quotes': `psql ${good}`,
    'name of a variable': `DATABASE_URL=${good}`,
    'exported variable': `export DATABASE_URL="${good}"`,
    yaml: `DATABASE_URL: ${good}`,
    flag: `--database-url ${good}`,
    jdbc: `jdbc:postgresql://${at}/shop?user=app&password=${secret}`,
    dsn: `host=127.0.0.1 port=5432 dbname=shop user=app password=${secret}`,
    'dsn, password first': `password=${secret} host=127.0.0.1`,
    'dsn in quotes': `host='127.0.0.1' password='${secret}'`,
    ado: `Server=127.0.0.1;Database=shop;User Id=app;Password=${secret};`,
    'no scheme': `app:${secret}@${at}/shop`,
    'scheme without a colon': `postgres//app:${secret}@${at}/shop`,
    'scheme with one slash': `postgres:/app:${secret}@${at}/shop`,
    'scheme without slashes': `postgres:app:${secret}@${at}/shop`,
    'misspelt scheme': `postgre://app:${secret}@${at}/shop`,
    'another driver': `postgresql+asyncpg://app:${secret}@${at}/shop`,
    prisma: `prisma+postgres://accelerate.prisma-data.net/?api_key=${secret}`,
    'another database': `mysql://app:${secret}@${at}/shop`,
    http: `https://app:${secret}@${at}/shop`,
    'bare password': secret,
    'password with words': `the password is ${secret}`,
    'a path': `/var/run/${secret}`,
    json: `{"url":"${good}"}`,
    'reserved #': `postgres://app:${secret}#x@${at}/shop`,
    'reserved # first': `postgres://app:#${secret}@${at}/shop`,
    'reserved /': `postgres://app:${secret}/x@${at}/shop`,
    'reserved / behind digits': `postgres://app:123/${secret}@${at}/shop`,
    'reserved ?': `postgres://app:${secret}?x@${at}/shop`,
    'reserved ? behind digits': `postgres://app:123?${secret}@${at}/shop`,
    'two hosts': `postgres://app:${secret}@127.0.0.1:1,127.0.0.1:2/shop`,
    'two hosts, one port': `postgres://app:${secret}@h1,h2:5432/shop`,
    'a list of hosts': `postgres://app:${secret}@/shop?host=h1,h2`,
    'port too large': `postgres://app:${secret}@127.0.0.1:543210/shop`,
    'port of letters': `postgres://app:${secret}@127.0.0.1:port/shop`,
    'placeholder of a host': `postgres://app:${secret}@<host>:5432/shop`,
    'placeholder in braces': `postgres://app:${secret}@\${HOST}:5432/shop`,
    'nothing but a scheme': `${secret}://`,
    'sslmode that there is not': `${good}?sslmode=verfy-full`,
    'two URLs': `${good} ${good}`,
    'two lines': `${good}\npassword=${secret}`,
  }
}

/** Forms that connect, or try to: nothing is wrong with them but that nobody answers. */
export function goodDatabaseUrls(secret: string, at = '127.0.0.1:1'): Readonly<Record<string, string>> {
  return {
    usual: `postgres://app:${secret}@${at}/shop`,
    'space in front': ` postgres://app:${secret}@${at}/shop`,
    'line break in front and behind': `\npostgres://app:${secret}@${at}/shop\r\n`,
    'upper-case scheme': `POSTGRES://app:${secret}@${at}/shop`,
    'password as a parameter': `postgres://${at}/shop?user=app&password=${secret}`,
    'bare @': `postgres://app:${secret}@x@${at}/shop`,
    'bare [': `postgres://app:${secret}[x@${at}/shop`,
    'bare %': `postgres://app:${secret}%zz@${at}/shop`,
    'a socket': `postgres://app:${secret}@/shop?host=/nowhere`,
    'password that nothing has': `postgres://:${secret}@${at}/shop`,
  }
}

/** URLs of webhooks and brokers that carry a secret somewhere, and what may be seen of them. */
export function secretUrls(secret: string): readonly (readonly [url: string, shown: string])[] {
  const hidden = '[redacted]'
  return [
    [
      `https://prod-1.logic.azure.com/workflows/abc/triggers?api-version=1&sig=${secret}`,
      `https://prod-1.logic.azure.com/workflows/${hidden}?api-version=${hidden}&sig=${hidden}`,
    ],
    [
      `https://app.azurewebsites.net/api/hook?code=${secret}`,
      `https://app.azurewebsites.net/api/${hidden}?code=${hidden}`,
    ],
    ...[
      'key',
      'auth',
      'pwd',
      'pass',
      'hmac',
      'access_key',
      'subscription-key',
      'token',
      'apikey',
      'X-Amz-Signature',
      's',
      'q',
    ].map((name): [string, string] => [
      `https://crm.example/hooks?${name}=${secret}`,
      `https://crm.example/hooks?${name}=${hidden}`,
    ]),
    [`https://crm.example/hooks?${secret}`, `https://crm.example/hooks?${hidden}`],
    [`https://crm.example/hooks?${secret}=1`, `https://crm.example/hooks?${hidden}`],
    [`https://crm.example/hooks?a=1;${secret}`, `https://crm.example/hooks?a=${hidden}&${hidden}`],
    [`https://crm.example/hooks#${secret}`, `https://crm.example/hooks#${hidden}`],
    [`https://hooks.slack.com/services/T000/B000/${secret}`, `https://hooks.slack.com/services/${hidden}`],
    [`https://discord.com/api/webhooks/1/${secret}`, `https://discord.com/api/${hidden}`],
    [`https://api.telegram.org/bot123456:${secret}/sendMessage`, `https://api.telegram.org/${hidden}/${hidden}`],
    // an "@" behind what may be no host
    [`https://outlook.office.com/webhook/${secret}@x/IncomingWebhook/y`, `https://${hidden}`],
    [`https://hook.example/${secret}`, `https://hook.example/${hidden}`],
    [`https://app:${secret}@crm.example/hooks`, `https://${hidden}@crm.example/hooks`],
    [`https://${secret}@crm.example/hooks`, `https://${hidden}@crm.example/hooks`],
    [`amqps://app:${secret}@mq.example:5671/vhost`, `amqps://${hidden}@mq.example:5671/vhost`],
    [
      `amqp://app:${secret}@mq.example/%2f?auth_mechanism=x`,
      `amqp://${hidden}@mq.example/%2f?auth_mechanism=${hidden}`,
    ],
    [`amqp://app:123/${secret}@mq.example/`, `amqp://${hidden}`],
    [`amqp://app:${secret}/x@mq.example/`, `amqp://${hidden}`],
    [`kafka://app:${secret}@k.example:9092`, `kafka://${hidden}@k.example:9092`],
    [`see https://crm.example/hooks?a=${secret}, or`, `see https://crm.example/hooks?a=${hidden} or`],
  ]
}
