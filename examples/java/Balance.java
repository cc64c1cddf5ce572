// Asks for an account's balance, with Java 17, BouncyCastle (reads the key) and Jackson (reads the answer).

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.math.BigDecimal;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.Signature;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.Base64;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Pattern;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.PEMEncryptedKeyPair;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.openssl.jcajce.JcePEMDecryptorProviderBuilder;

/** The five fields. BigDecimal keeps amounts exact. */
public record Balance(
        String currency,
        BigDecimal balance,
        BigDecimal hold,
        BigDecimal rollingReserve,
        BigDecimal pendingPayouts) {

    private static final Pattern UUID = Pattern.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}");
    private static final Pattern CURRENCY = Pattern.compile("[A-Z][A-Z0-9]{2,9}");
    private static final Pattern AMOUNT = Pattern.compile("-?[0-9]{1,18}(\\.[0-9]{1,18})?");

    public static void main(String[] arguments) {
        try {
            String account = setting("ALIKASSA_ACCOUNT", "");
            if (!UUID.matcher(account).matches()) {
                throw new BalanceException(ExitCode.CONFIGURATION,
                        "Set ALIKASSA_ACCOUNT to the account's uuid.");
            }
            var client = new Client(
                    setting("ALIKASSA_BASE_URL", "https://api-merchant.alikassa.com"),
                    Path.of(setting("ALIKASSA_KEYS", "cert/payout")),
                    setting("ALIKASSA_CA_BUNDLE", ""),
                    setting("ALIKASSA_FRESH", "").equals("1"));
            System.out.print(client.balance(account).lines());
        } catch (BalanceException exception) {
            System.err.println(exception.getMessage());
            System.exit(exception.exitCode.number);
        }
    }

    private static String setting(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }

    private String lines() {
        // toPlainString, because toString() writes a zero of eight decimals as 0E-8.
        return """
                currency %s
                balance %s
                hold %s
                rolling_reserve %s
                pending_payouts %s
                """.formatted(currency, balance.toPlainString(), hold.toPlainString(),
                rollingReserve.toPlainString(), pendingPayouts.toPlainString());
    }

    static Balance read(int status, String content) throws BalanceException {
        JsonNode answer;
        try {
            answer = new ObjectMapper().readTree(content);
        } catch (JacksonException exception) {
            answer = null;
        }
        if (answer == null || !answer.isObject()) {
            throw new BalanceException(ExitCode.SERVER,
                    "HTTP " + status + " without a JSON object. Check ALIKASSA_BASE_URL.");
        }
        if (status == 400) {
            throw new BalanceException(ExitCode.REFUSED, describeRefusal(answer));
        }
        if (status != 200) {
            throw new BalanceException(ExitCode.SERVER,
                    "HTTP " + status + ": " + answer.path("message").asText("no message"));
        }
        return new Balance(
                valid(answer, "currency", CURRENCY),
                new BigDecimal(valid(answer, "balance", AMOUNT)),
                new BigDecimal(valid(answer, "hold", AMOUNT)),
                new BigDecimal(valid(answer, "rolling_reserve", AMOUNT)),
                new BigDecimal(valid(answer, "pending_payouts", AMOUNT)));
    }

    private static String valid(JsonNode answer, String name, Pattern pattern) throws BalanceException {
        JsonNode value = answer.path(name);
        // Only strings: Jackson has made a double of any bare number, which may have rounded it.
        if (!value.isTextual() || !pattern.matcher(value.textValue()).matches()) {
            throw new BalanceException(ExitCode.SERVER,
                    "The answer's " + name + " is not what it should be. Do not use this answer.");
        }
        return value.textValue();
    }

    private static String describeRefusal(JsonNode answer) {
        var text = new StringBuilder("The server refused the request: ")
                .append(answer.path("message").asText("no message"));
        answer.path("errors").fields().forEachRemaining(error -> error.getValue().forEach(
                reason -> text.append("\n  ").append(error.getKey()).append(": ").append(reason.asText())));
        return text.toString();
    }

    enum ExitCode {
        CONFIGURATION(3), REFUSED(4), NETWORK(5), SERVER(6);

        final int number;

        ExitCode(int number) {
            this.number = number;
        }
    }

    static final class BalanceException extends Exception {
        private static final long serialVersionUID = 1;

        final ExitCode exitCode;

        BalanceException(ExitCode exitCode, String message) {
            this(exitCode, message, null);
        }

        BalanceException(ExitCode exitCode, String message, Throwable cause) {
            super(message, cause);
            this.exitCode = exitCode;
        }
    }

    /**
     * Make one and ask it as often as you like: it reads the key, and signs, only in its constructor.
     * With fresh it signs each request anew, and each is good once, for servers that know it.
     */
    static final class Client {
        private static final String BODY = "{}";
        private static final int SECONDS = 30;

        private final URI uri;
        private final PrivateKey key;
        private final String sign;
        private final boolean fresh;
        private final HttpClient http;

        Client(String baseUrl, Path keys, String caBundle, boolean fresh) throws BalanceException {
            uri = checkedUri(baseUrl);
            // The body never changes and this kind of signature has no random part, so one signature serves
            // every request. Whoever reads it can ask too: keep it out of logs.
            key = loadKey(keys);
            sign = sign(key, BODY);
            this.fresh = fresh;
            // Redirects are not followed unless asked for.
            var builder = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5));
            if (!caBundle.isEmpty()) {
                builder.sslContext(trusting(Path.of(caBundle)));
            }
            http = builder.build();
        }

        Balance balance(String account) throws BalanceException {
            String body = fresh ? stamped(account) : BODY;
            HttpRequest request = HttpRequest.newBuilder(uri)
                    .header("Content-Type", "application/json")
                    .header("Account", account)
                    .header("Sign", fresh ? sign(key, body) : sign)
                    .header("User-Agent", "alikassa-example-java")
                    .POST(BodyPublishers.ofString(body))
                    .build();
            HttpResponse<String> response;
            try {
                // Not send() with the request's own timeout: that one ends when the headers have come.
                response = http.sendAsync(request, BodyHandlers.ofString()).get(SECONDS, TimeUnit.SECONDS);
            } catch (ExecutionException exception) {
                throw noAnswer(exception.getCause().toString(), exception);
            } catch (TimeoutException exception) {
                throw noAnswer("nothing in " + SECONDS + " s", exception);
            } catch (InterruptedException exception) {
                Thread.currentThread().interrupt();
                throw noAnswer("interrupted", exception);
            }
            return Balance.read(response.statusCode(), response.body());
        }

        private BalanceException noAnswer(String reason, Exception cause) {
            return new BalanceException(ExitCode.NETWORK,
                    "No answer from " + uri + ": " + reason + "\n"
                            + "Check the address and the network."
                            + " A private CA is named with ALIKASSA_CA_BUNDLE.",
                    cause);
        }

        private static String stamped(String account) {
            var nonce = new byte[16];
            new SecureRandom().nextBytes(nonce);
            return "{\"account\":\"%s\",\"timestamp\":%d,\"nonce\":\"%s\"}".formatted(account,
                    System.currentTimeMillis() / 1000, Base64.getUrlEncoder().withoutPadding().encodeToString(nonce));
        }

        private static String sign(PrivateKey key, String body) throws BalanceException {
            try {
                Signature signature = Signature.getInstance("SHA256withRSA");
                signature.initSign(key);
                signature.update(body.getBytes(StandardCharsets.UTF_8));
                return Base64.getEncoder().encodeToString(signature.sign());
            } catch (GeneralSecurityException exception) {
                throw new BalanceException(ExitCode.CONFIGURATION, "The key is not an RSA key.", exception);
            }
        }

        private static PrivateKey loadKey(Path keys) throws BalanceException {
            String passphrase;
            Object pem;
            try (BufferedReader reader = Files.newBufferedReader(keys.resolve("private.pem"))) {
                passphrase = Files.readString(keys.resolve("password.txt")).replaceFirst("[\r\n]+$", "");
                pem = new PEMParser(reader).readObject();
            } catch (IOException exception) {
                throw new BalanceException(ExitCode.CONFIGURATION, "Cannot read " + exception.getMessage()
                        + "\nSet ALIKASSA_KEYS to the folder of private.pem and password.txt.", exception);
            }
            if (!(pem instanceof PEMEncryptedKeyPair encrypted)) {
                throw new BalanceException(ExitCode.CONFIGURATION,
                        "private.pem in " + keys + " must be traditional and encrypted. Convert it:\n"
                                + "openssl rsa -traditional -aes256 -in private.pem -out traditional.pem");
            }
            try {
                // Java's own providers cannot derive the key of this old encryption; BouncyCastle's can.
                var decryptor = new JcePEMDecryptorProviderBuilder()
                        .setProvider(new BouncyCastleProvider())
                        .build(passphrase.toCharArray());
                return new JcaPEMKeyConverter().getKeyPair(encrypted.decryptKeyPair(decryptor)).getPrivate();
            } catch (IOException exception) {
                throw new BalanceException(ExitCode.CONFIGURATION,
                        "In " + keys + ", password.txt does not open private.pem.", exception);
            }
        }

        private static SSLContext trusting(Path caBundle) throws BalanceException {
            try (InputStream pem = Files.newInputStream(caBundle)) {
                KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
                store.load(null, null);
                var certificates = CertificateFactory.getInstance("X.509").generateCertificates(pem);
                for (Certificate certificate : certificates) {
                    store.setCertificateEntry("ca-" + store.size(), certificate);
                }
                var factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
                factory.init(store);
                SSLContext context = SSLContext.getInstance("TLS");
                context.init(null, factory.getTrustManagers(), null);
                if (store.size() > 0) {
                    return context;
                }
            } catch (IOException | GeneralSecurityException exception) {
                throw new BalanceException(ExitCode.CONFIGURATION,
                        "ALIKASSA_CA_BUNDLE=" + caBundle + " cannot be read: " + exception, exception);
            }
            throw new BalanceException(ExitCode.CONFIGURATION,
                    "ALIKASSA_CA_BUNDLE=" + caBundle + " has no certificates.");
        }

        private static URI checkedUri(String baseUrl) throws BalanceException {
            try {
                URI base = URI.create(baseUrl);
                boolean local = "http".equals(base.getScheme())
                        && Set.of("localhost", "127.0.0.1", "[::1]").contains(String.valueOf(base.getHost()));
                if (base.getHost() != null && ("https".equals(base.getScheme()) || local)) {
                    return URI.create(baseUrl.replaceFirst("/+$", "") + "/v1/account/balance");
                }
            } catch (IllegalArgumentException exception) {
                // Not an address at all: the same answer as for a wrong one.
            }
            throw new BalanceException(ExitCode.CONFIGURATION,
                    "ALIKASSA_BASE_URL must be https:// (or http:// to this machine).");
        }
    }
}
