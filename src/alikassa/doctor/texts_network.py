"""What is said of the way to the server."""

from __future__ import annotations

from alikassa.doctor.words import Text, Words

__all__ = ["NETWORK"]

NETWORK: dict[str, Text] = {
    "network.proxy": Text(
        Words("The proxy {proxy} is used.", "It resolves names and sees the addresses, not the content."),
        Words("Используется прокси {proxy}.", "Он находит адреса и видит их, но не содержание."),
    ),
    "network.proxy_refused": Text(
        Words(
            "The proxy {proxy} makes no connection to {host}: it answers {said}.",
            "407: it wants a name and password; 403: it forbids that host; 502, 504: it does not reach the server.",
            "Check HTTPS_PROXY or --proxy, or leave the proxy out for this host: NO_PROXY={host}",
        ),
        Words(
            "Прокси {proxy} не соединяет с {host}: он отвечает {said}.",
            "407: ему нужны имя и пароль; 403: он туда не пускает; 502, 504: он не достаёт до сервера.",
            "Проверьте HTTPS_PROXY или --proxy, или исключите этот адрес: NO_PROXY={host}",
        ),
    ),
    "network.dns": Text(
        Words(
            "The name {host} is not found: {problem}.",
            "DNS does not know it, or there is no network.",
            "Check the host in the base URL for a slip; try: getent hosts {host}",
        ),
        Words(
            "Имя {host} не найдено: {problem}.",
            "DNS его не знает, или нет сети.",
            "Проверьте имя в базовом адресе; попробуйте: getent hosts {host}",
        ),
    ),
    "network.addresses": Text(Words("{host} is {addresses}."), Words("{host}: {addresses}.")),
    "network.refused": Text(
        Words(
            "{host}:{port} refuses connections.",
            "Nobody listens there, or a firewall says so.",
            "Check the port in the base URL.",
        ),
        Words(
            "{host}:{port} не принимает соединений.",
            "Там никто не слушает, или так отвечает межсетевой экран.",
            "Проверьте порт в базовом адресе.",
        ),
    ),
    "network.unreachable": Text(
        Words(
            "{host}:{port} cannot be reached: {problem}.",
            "A firewall, the route, or the host is down.",
            "Let this machine's firewall through to {host}:{port}.",
        ),
        Words(
            "{host}:{port} недоступен: {problem}.",
            "Межсетевой экран, маршрут, или сервер выключен.",
            "Откройте на этой машине выход к {host}:{port}.",
        ),
    ),
    "network.tcp": Text(Words("{host}:{port} accepts connections."), Words("{host}:{port} принимает соединения.")),
    "network.plain": Text(
        Words("Plain http to this machine itself.", "There is no TLS to check."),
        Words("Обычный http к этой же машине.", "TLS проверять нечего."),
    ),
    "network.tls": Text(
        Words("{version}, certificate valid until {until}."), Words("{version}, сертификат действителен до {until}.")
    ),
    "network.tls_expired": Text(
        Words(
            "The server's TLS certificate has expired.",
            "Either it has, or this machine's clock ({now}) is ahead.",
            "Check the clock first: date -u. Otherwise the server's operator renews it.",
        ),
        Words(
            "Срок TLS-сертификата сервера истёк.",
            "Либо это так, либо часы этой машины ({now}) спешат.",
            "Сначала проверьте часы: date -u. Иначе его обновит владелец сервера.",
        ),
    ),
    "network.tls_not_yet": Text(
        Words(
            "The server's TLS certificate is not valid yet.",
            "Most likely this machine's clock ({now}) is behind.",
            "Set the clock: date -u",
        ),
        Words(
            "TLS-сертификат сервера ещё не действует.",
            "Скорее всего часы этой машины ({now}) отстают.",
            "Поправьте часы: date -u",
        ),
    ),
    "network.tls_host": Text(
        Words(
            "The server's TLS certificate is not for {host}.",
            "The base URL has another name than the certificate, or somebody else answers.",
            "Write the base URL with the name that the certificate is for.",
        ),
        Words(
            "TLS-сертификат сервера не для {host}.",
            "В базовом адресе другое имя, чем в сертификате, или отвечает кто-то другой.",
            "Укажите в базовом адресе имя, на которое выдан сертификат.",
        ),
    ),
    "network.tls_self_signed": Text(
        Words(
            "The server's TLS certificate is self-signed.",
            "Nobody vouches for it.",
            "If it is yours, trust its file: --ca-bundle FILE",
        ),
        Words(
            "TLS-сертификат сервера самоподписанный.",
            "За него никто не ручается.",
            "Если он ваш, доверьтесь его файлу: --ca-bundle FILE",
        ),
    ),
    "network.tls_unknown_ca": Text(
        Words(
            "The server's TLS certificate is of an unknown CA.",
            "A private CA, a proxy that looks inside TLS, or a chain without its middle.",
            "If the CA is yours or your company's, name its file: --ca-bundle FILE",
        ),
        Words(
            "TLS-сертификат сервера выдан неизвестным центром.",
            "Свой центр, прокси, который вскрывает TLS, или неполная цепочка.",
            "Если центр ваш или вашей компании, укажите его файл: --ca-bundle FILE",
        ),
    ),
    "network.tls_failed": Text(
        Words(
            "There is no TLS with {host}: {problem}.",
            "The port may be one for plain http.",
            "Check the port in the base URL.",
        ),
        Words(
            "TLS с {host} не удался: {problem}.",
            "Возможно, этот порт для обычного http.",
            "Проверьте порт в базовом адресе.",
        ),
    ),
    "network.clock": Text(
        Words(
            "This machine's clock differs from the server's by {seconds} s.",
            "Signatures do not depend on it; TLS certificates do.",
            "Set the clock, for example with chrony.",
        ),
        Words(
            "Часы этой машины расходятся с часами сервера на {seconds} с.",
            "Подпись от них не зависит, TLS-сертификаты зависят.",
            "Поправьте часы, например с помощью chrony.",
        ),
    ),
    "network.no_answer": Text(
        Words("No answer came: {problem}", "The connection was made and then failed.", "{remedy}"),
        Words("Ответа не было: {problem}", "Соединение было и прервалось.", "{remedy}"),
    ),
}
