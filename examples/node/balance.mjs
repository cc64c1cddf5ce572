// Asks for an account's balance, with Node's own modules only.

import { X509Certificate, createPrivateKey, randomBytes, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

const ExitCode = { CONFIGURATION: 3, REFUSED: 4, NETWORK: 5, SERVER: 6 };
const TIMEOUT_MS = 30_000;
const BODY = '{}';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const AMOUNT = /^-?[0-9]{1,18}(\.[0-9]{1,18})?$/;
const FIELDS = {
  currency: /^[A-Z][A-Z0-9]{2,9}$/,
  balance: AMOUNT,
  hold: AMOUNT,
  rolling_reserve: AMOUNT,
  pending_payouts: AMOUNT,
};

class BalanceError extends Error {
  constructor(exitCode, message, cause) {
    super(message, { cause });
    this.exitCode = exitCode;
  }
}

/**
 * Make one and ask it as often as you like: it reads the key, and signs, only in its constructor.
 * With `fresh` it signs each request anew, and each is good once, for servers that know it.
 */
class BalanceClient {
  #url;
  #key;
  #sign;
  #fresh;
  #transport;
  #agent;

  constructor(baseUrl, keys, caBundle, fresh = false) {
    this.#url = checkedUrl(baseUrl);
    // The body never changes and this kind of signature has no random part, so one signature serves every
    // request. Whoever reads it can ask too: keep it out of logs.
    this.#key = loadKey(keys);
    this.#fresh = fresh;
    this.#sign = this.#signed(BODY);
    this.#transport = this.#url.protocol === 'https:' ? https : http;
    this.#agent = new this.#transport.Agent({
      keepAlive: true,
      // Said aloud, so that NODE_TLS_REJECT_UNAUTHORIZED=0 cannot switch it off.
      rejectUnauthorized: true,
      ca: caBundle && loadBundle(caBundle),
    });
  }

  /** The five fields. Amounts stay strings, which are exact: a JavaScript number would not be. */
  async balance(account) {
    let status, content;
    try {
      ({ status, content } = await this.#post(account));
    } catch (error) {
      const reason = error.name === 'AbortError' ? `nothing in ${TIMEOUT_MS / 1000} s` : error.message;
      throw new BalanceError(
        ExitCode.NETWORK,
        `No answer from ${this.#url}: ${reason}\n` +
          'Check the address and the network. A private CA is named with ALIKASSA_CA_BUNDLE.',
        error,
      );
    }
    return readAnswer(status, content);
  }

  #signed(body) {
    return sign('sha256', Buffer.from(body), this.#key).toString('base64');
  }

  #post(account) {
    let [body, signature] = [BODY, this.#sign];
    if (this.#fresh) {
      const timestamp = Math.floor(Date.now() / 1000);
      body = JSON.stringify({ account, timestamp, nonce: randomBytes(16).toString('base64url') });
      signature = this.#signed(body);
    }
    return new Promise((resolve, reject) => {
      const options = {
        method: 'POST',
        agent: this.#agent,
        // For the whole exchange; the `timeout` option is only about an idle socket, and ends nothing.
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: {
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(body),
          Account: account,
          Sign: signature,
          'User-Agent': 'alikassa-example-node',
        },
      };
      this.#transport
        .request(this.#url, options, (response) => {
          text(response).then((content) => resolve({ status: response.statusCode, content }), reject);
        })
        .on('error', reject)
        .end(body);
    });
  }
}

function readAnswer(status, content) {
  let answer;
  try {
    answer = JSON.parse(content);
  } catch {
    answer = null;
  }
  if (answer === null || typeof answer !== 'object') {
    throw new BalanceError(ExitCode.SERVER, `HTTP ${status} without a JSON object. Check ALIKASSA_BASE_URL.`);
  }
  if (status === 400) {
    throw new BalanceError(ExitCode.REFUSED, describeRefusal(answer));
  }
  if (status !== 200) {
    throw new BalanceError(ExitCode.SERVER, `HTTP ${status}: ${answer.message ?? 'no message'}`);
  }
  return Object.fromEntries(
    Object.entries(FIELDS).map(([name, pattern]) => {
      const value = answer[name];
      // Only strings: JSON.parse has made a float of any bare number, which may have rounded it.
      if (typeof value !== 'string' || !pattern.test(value)) {
        throw new BalanceError(
          ExitCode.SERVER,
          `The answer's ${name} is not what it should be. Do not use this answer.`,
        );
      }
      return [name, value];
    }),
  );
}

function describeRefusal({ message, errors }) {
  const lines = [`The server refused the request: ${message ?? 'no message'}`];
  for (const [field, reasons] of Object.entries(errors ?? {})) {
    lines.push(...[reasons].flat().map((reason) => `  ${field}: ${reason}`));
  }
  return lines.join('\n');
}

function loadKey(keys) {
  let pem, passphrase, key;
  try {
    pem = readFileSync(join(keys, 'private.pem'));
    passphrase = readFileSync(join(keys, 'password.txt'), 'utf8').replace(/[\r\n]+$/, '');
  } catch (error) {
    throw new BalanceError(
      ExitCode.CONFIGURATION,
      `${error.message}\nSet ALIKASSA_KEYS to the folder of private.pem and password.txt.`,
      error,
    );
  }
  try {
    key = createPrivateKey({ key: pem, passphrase });
  } catch (error) {
    throw new BalanceError(
      ExitCode.CONFIGURATION,
      `In ${keys}, password.txt does not open private.pem.`,
      error,
    );
  }
  if (key.asymmetricKeyType !== 'rsa') {
    throw new BalanceError(ExitCode.CONFIGURATION, `The key in ${keys} is not an RSA key.`);
  }
  return key;
}

function loadBundle(path) {
  try {
    const pem = readFileSync(path);
    // Node itself would pass over a file without certificates in silence.
    new X509Certificate(pem);
    return pem;
  } catch (error) {
    throw new BalanceError(
      ExitCode.CONFIGURATION,
      `ALIKASSA_CA_BUNDLE=${path} has no certificates: ${error.message}`,
      error,
    );
  }
}

function checkedUrl(baseUrl) {
  const base = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  const local = base?.protocol === 'http:' && ['localhost', '127.0.0.1', '[::1]'].includes(base.hostname);
  if (base?.protocol !== 'https:' && !local) {
    throw new BalanceError(
      ExitCode.CONFIGURATION,
      'ALIKASSA_BASE_URL must be https:// (or http:// to this machine).',
    );
  }
  return new URL(baseUrl.replace(/\/+$/, '') + '/v1/account/balance');
}

async function main(environment) {
  const account = environment.ALIKASSA_ACCOUNT ?? '';
  if (!UUID.test(account)) {
    throw new BalanceError(ExitCode.CONFIGURATION, "Set ALIKASSA_ACCOUNT to the account's uuid.");
  }
  const client = new BalanceClient(
    environment.ALIKASSA_BASE_URL || 'https://api-merchant.alikassa.com',
    environment.ALIKASSA_KEYS || 'cert/payout',
    environment.ALIKASSA_CA_BUNDLE,
    environment.ALIKASSA_FRESH === '1',
  );
  for (const [name, value] of Object.entries(await client.balance(account))) {
    console.log(`${name} ${value}`);
  }
}

try {
  await main(process.env);
} catch (error) {
  if (!(error instanceof BalanceError)) throw error;
  console.error(error.message);
  process.exitCode = error.exitCode;
}
