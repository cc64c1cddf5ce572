<?php

// Asks for an account's balance, with PHP's own openssl and curl extensions only.

declare(strict_types=1);

final class BalanceError extends RuntimeException
{
    // Exit codes.
    public const CONFIGURATION = 3;
    public const REFUSED = 4;
    public const NETWORK = 5;
    public const SERVER = 6;

    public function __construct(int $exitCode, string $message)
    {
        parent::__construct($message, $exitCode);
    }
}

/**
 * Make one and ask it as often as you like: it reads the key, and signs, only in its constructor.
 * With $fresh it signs each request anew, and each is good once, for servers that know it.
 */
final class BalanceClient
{
    private const ADDRESS = '~^(https://[^/]|http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/|$))~D';
    private const BODY = '{}';
    private const FIELDS = [
        'currency' => '/^[A-Z][A-Z0-9]{2,9}$/D',
        'balance' => self::AMOUNT,
        'hold' => self::AMOUNT,
        'rolling_reserve' => self::AMOUNT,
        'pending_payouts' => self::AMOUNT,
    ];
    private const AMOUNT = '/^-?[0-9]{1,18}(\.[0-9]{1,18})?$/D';

    private readonly OpenSSLAsymmetricKey $key;
    private readonly string $sign;
    private readonly CurlHandle $curl;

    public function __construct(
        private readonly string $baseUrl,
        string $keys,
        ?string $caBundle = null,
        private readonly bool $fresh = false
    ) {
        if (preg_match(self::ADDRESS, $baseUrl) !== 1) {
            throw new BalanceError(
                BalanceError::CONFIGURATION,
                'ALIKASSA_BASE_URL must be https:// (or http:// to this machine).'
            );
        }
        // The algorithm is named because PHP's default is SHA-1. The body never changes and this kind of
        // signature has no random part, so one signature serves every request. Whoever reads it can ask too:
        // keep it out of logs.
        $this->key = self::loadKey($keys);
        $this->sign = $this->signed(self::BODY);

        // curl checks the server's certificate and follows no redirect unless told otherwise.
        $this->curl = curl_init(rtrim($baseUrl, '/') . '/v1/account/balance');
        curl_setopt_array($this->curl, [
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_USERAGENT => 'alikassa-example-php',
            CURLOPT_CONNECTTIMEOUT => 5,
            CURLOPT_TIMEOUT => 30,
        ]);
        if ($caBundle !== null) {
            if (!str_contains((string) @file_get_contents($caBundle), '-----BEGIN CERTIFICATE-----')) {
                throw new BalanceError(
                    BalanceError::CONFIGURATION,
                    "ALIKASSA_CA_BUNDLE=$caBundle has no certificates."
                );
            }
            curl_setopt($this->curl, CURLOPT_CAINFO, $caBundle);
        }
    }

    /** @return array<string, string> the five fields; amounts stay strings, which are exact (see bcmath) */
    public function balance(string $account): array
    {
        [$body, $sign] = [self::BODY, $this->sign];
        if ($this->fresh) {
            $nonce = bin2hex(random_bytes(16));
            $body = json_encode(['account' => $account, 'timestamp' => time(), 'nonce' => $nonce]);
            $sign = $this->signed($body);
        }
        curl_setopt($this->curl, CURLOPT_POSTFIELDS, $body);
        curl_setopt($this->curl, CURLOPT_HTTPHEADER, [
            'Content-Type: application/json',
            "Account: $account",
            "Sign: $sign",
        ]);
        $content = curl_exec($this->curl);
        if ($content === false) {
            throw new BalanceError(
                BalanceError::NETWORK,
                "No answer from $this->baseUrl: " . curl_error($this->curl) . "\n"
                . 'Check the address and the network. A private CA is named with ALIKASSA_CA_BUNDLE.'
            );
        }
        return self::readAnswer(curl_getinfo($this->curl, CURLINFO_RESPONSE_CODE), $content);
    }

    private function signed(string $body): string
    {
        openssl_sign($body, $signature, $this->key, OPENSSL_ALGO_SHA256);
        return base64_encode($signature);
    }

    private static function readAnswer(int $status, string $content): array
    {
        $answer = json_decode($content, true);
        if (!is_array($answer)) {
            throw new BalanceError(
                BalanceError::SERVER,
                "HTTP $status without a JSON object. Check ALIKASSA_BASE_URL."
            );
        }
        if ($status === 400) {
            throw new BalanceError(BalanceError::REFUSED, self::describeRefusal($answer));
        }
        if ($status !== 200) {
            $message = self::text($answer['message'] ?? null);
            throw new BalanceError(BalanceError::SERVER, "HTTP $status: $message");
        }
        $balance = [];
        foreach (self::FIELDS as $name => $pattern) {
            $value = $answer[$name] ?? null;
            // Only strings: json_decode has made a float of any bare number, which may have rounded it.
            if (!is_string($value) || preg_match($pattern, $value) !== 1) {
                throw new BalanceError(
                    BalanceError::SERVER,
                    "The answer's $name is not what it should be. Do not use this answer."
                );
            }
            $balance[$name] = $value;
        }
        return $balance;
    }

    private static function describeRefusal(array $answer): string
    {
        $lines = ['The server refused the request: ' . self::text($answer['message'] ?? null)];
        foreach ((array) ($answer['errors'] ?? []) as $field => $reasons) {
            foreach ((array) $reasons as $reason) {
                $lines[] = "  $field: " . self::text($reason);
            }
        }
        return implode("\n", $lines);
    }

    private static function text(mixed $value): string
    {
        return is_string($value) ? $value : 'no message';
    }

    private static function loadKey(string $keys): OpenSSLAsymmetricKey
    {
        $pem = @file_get_contents("$keys/private.pem");
        $passphrase = @file_get_contents("$keys/password.txt");
        if ($pem === false || $passphrase === false) {
            throw new BalanceError(
                BalanceError::CONFIGURATION,
                "Cannot read private.pem and password.txt in $keys.\nSet ALIKASSA_KEYS to their folder."
            );
        }
        $key = openssl_pkey_get_private($pem, rtrim($passphrase, "\r\n"));
        if ($key === false) {
            throw new BalanceError(
                BalanceError::CONFIGURATION,
                "In $keys, password.txt does not open private.pem."
            );
        }
        if (openssl_pkey_get_details($key)['type'] !== OPENSSL_KEYTYPE_RSA) {
            throw new BalanceError(BalanceError::CONFIGURATION, "The key in $keys is not an RSA key.");
        }
        return $key;
    }
}

function main(): int
{
    $account = (string) getenv('ALIKASSA_ACCOUNT');
    try {
        if (preg_match('/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/Di', $account) !== 1) {
            throw new BalanceError(
                BalanceError::CONFIGURATION,
                "Set ALIKASSA_ACCOUNT to the account's uuid."
            );
        }
        $client = new BalanceClient(
            getenv('ALIKASSA_BASE_URL') ?: 'https://api-merchant.alikassa.com',
            getenv('ALIKASSA_KEYS') ?: 'cert/payout',
            getenv('ALIKASSA_CA_BUNDLE') ?: null,
            getenv('ALIKASSA_FRESH') === '1'
        );
        $balance = $client->balance($account);
    } catch (BalanceError $error) {
        fwrite(STDERR, $error->getMessage() . "\n");
        return $error->getCode();
    }
    foreach ($balance as $name => $value) {
        echo "$name $value\n";
    }
    return 0;
}

exit(main());
