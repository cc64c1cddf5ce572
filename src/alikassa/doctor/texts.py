"""Every word of the doctor's, English and Russian side by side: found, meaning, remedy."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["AREAS", "TEXTS", "Text", "Words"]


class Words(NamedTuple):
    """A finding told. `meaning` and `remedy` are "" where there is nothing to say or do."""

    found: str
    meaning: str = ""
    remedy: str = ""


class Text(NamedTuple):
    en: Words
    ru: Words


AREAS = {
    "settings": ("Settings", "Настройки"),
    "archive": ("Archive", "Архив"),
    "key": ("Key", "Ключ"),
    "network": ("Network", "Сеть"),
    "server": ("Server", "Сервер"),
    "refused": ("Signature", "Подпись"),
}

TEXTS: dict[str, Text] = {
    "settings.account": Text(
        Words(
            "{account} is no uuid.",
            "The server refuses it, whatever the signature.",
            "Copy the uuid from the cabinet, section «Счета» (Accounts), without braces or spaces.",
        ),
        Words(
            "{account} не uuid.",
            "Сервер откажет, какой бы ни была подпись.",
            "Скопируйте uuid из кабинета, раздел «Счета», без скобок и пробелов.",
        ),
    ),
    "settings.unusable": Text(
        Words("{problem}", "No request can be made with this setting.", "{remedy}"),
        Words("{problem}", "С этой настройкой запрос невозможен.", "{remedy}"),
    ),
    "archive.missing": Text(
        Words("There is no folder {path}.", "There is nothing to sign with.", "Name the folder with private.pem."),
        Words("Папки {path} нет.", "Подписывать нечем.", "Укажите папку, в которой лежит private.pem."),
    ),
    "archive.private_missing": Text(
        Words("There is no {path}.", "There is nothing to sign with.", "Unpack the whole archive there."),
        Words("Файла {path} нет.", "Подписывать нечем.", "Распакуйте туда весь архив."),
    ),
    "archive.passphrase_missing": Text(
        Words(
            "There is no {path}.",
            "The key is protected, and nothing opens it.",
            "Unpack password.txt beside private.pem.",
        ),
        Words(
            "Файла {path} нет.", "Ключ защищён, и открыть его нечем.", "Распакуйте password.txt рядом с private.pem."
        ),
    ),
    "archive.public_missing": Text(
        Words("There is no {path}.", "It is not needed to sign; it could not be compared.", ""),
        Words("Файла {path} нет.", "Для подписи он не нужен; сравнить его нельзя.", ""),
    ),
    "archive.unreadable": Text(
        Words(
            "{path} cannot be read: {problem}.", "", "See what stands there (ls -l); this user must be able to read it."
        ),
        Words(
            "{path} не читается: {problem}.",
            "",
            "Посмотрите, что там (ls -l); у пользователя должно быть право на чтение.",
        ),
    ),
    "archive.not_a_file": Text(
        Words(
            "{path} is no ordinary file.",
            "It is a folder, a pipe or a device, and was not read.",
            "Put the file from the archive there.",
        ),
        Words(
            "{path} не обычный файл.",
            "Это папка, канал или устройство; его не читали.",
            "Положите туда файл из архива.",
        ),
    ),
    "archive.too_large": Text(
        Words("{path} is larger than 64 KiB.", "No key is.", "Take the file from the archive as it came."),
        Words("{path} больше 64 КиБ.", "Ключи такими не бывают.", "Возьмите файл из архива таким, каким он пришёл."),
    ),
    "archive.payment_unusable": Text(
        Words(
            "Nothing can be signed with the payment archive {path}.",
            "Whether the two are mixed up cannot be tried out.",
            "Look at it by itself: alikassa doctor --offline --account {account} --keys {path}",
        ),
        Words(
            "Архивом для приёма платежей {path} подписать нельзя.",
            "Проверить, не перепутаны ли архивы, не получится.",
            "Проверьте его отдельно: alikassa doctor --offline --account {account} --keys {path}",
        ),
    ),
    "archive.files": Text(Words("{path}: {names}."), Words("{path}: {names}.")),
    "archive.open_to_others": Text(
        Words(
            "{path} is open to others on this machine ({mode}).",
            "Who reads it can sign in your name.",
            "chmod 600 {quoted}",
        ),
        Words(
            "{path} открыт другим на этой машине ({mode}).",
            "Кто прочтёт, сможет подписывать за вас.",
            "chmod 600 {quoted}",
        ),
    ),
    "key.programs": Text(
        Words(
            "The page's programs that read this archive: {able}.",
            "Not: {unable}.",
            "For all five: a traditional private.pem, and a password.txt without a newline at its end.",
        ),
        Words(
            "Программы со страницы, которые прочтут архив: {able}.",
            "Не прочтут: {unable}.",
            "Для всех пяти: традиционный private.pem и password.txt без перевода строки в конце.",
        ),
    ),
    "key.all_programs": Text(
        Words("All five of the page's programs read this archive: {able}.", "Java needs the BouncyCastle provider."),
        Words("Архив прочтут все пять программ со страницы: {able}.", "Для Java нужен провайдер BouncyCastle."),
    ),
    "key.elsewhere": Text(
        Words("The key is not in a folder.", "Its files cannot be looked at; it signs where it is."),
        Words("Ключ не в папке.", "Посмотреть на файлы нельзя; он подписывает там, где лежит."),
    ),
    "key.unusable": Text(
        Words("{problem}", "Nothing can be signed.", "{remedy}"), Words("{problem}", "Подписать нельзя.", "{remedy}")
    ),
    "key.form": Text(Words("private.pem is {form}."), Words("private.pem: {form}.")),
    "key.not_private": Text(
        Words(
            "private.pem holds no private key: {form}.",
            "Nothing can be signed with it.",
            "Take private.pem from the archive as it came.",
        ),
        Words(
            "В private.pem нет закрытого ключа: {form}.",
            "Подписать им нельзя.",
            "Возьмите private.pem из архива таким, каким он пришёл.",
        ),
    ),
    "key.unencrypted": Text(
        Words(
            "private.pem is not encrypted.",
            "Who copies the file has the key.",
            "Keep it 0600, or encrypt it: openssl rsa -aes256 -traditional -in private.pem",
        ),
        Words(
            "private.pem не зашифрован.",
            "Кто скопирует файл, получит ключ.",
            "Держите его с правами 0600 или зашифруйте: openssl rsa -aes256 -traditional -in private.pem",
        ),
    ),
    "key.passphrase_exact": Text(
        Words("The passphrase opens the key as it stands."), Words("Пароль открывает ключ как есть.")
    ),
    "key.passphrase_newline": Text(
        Words(
            "password.txt has a newline at its end ({bytes}).",
            "alikassa, Node and Python trim it; PHP, Java and Go take it as part of the passphrase.",
            "(umask 077; tr -d '\\r\\n' < {path} > {path}.new && mv {path}.new {path})",
        ),
        Words(
            "В конце password.txt перевод строки ({bytes}).",
            "alikassa, Node и Python его отбрасывают; PHP, Java и Go считают частью пароля.",
            "(umask 077; tr -d '\\r\\n' < {path} > {path}.new && mv {path}.new {path})",
        ),
    ),
    "key.passphrase_spoilt": Text(
        Words(
            "The passphrase opens the key only without what an editor put into password.txt: {what}.",
            "alikassa does not read it so, whatever one of the page's programs may do.",
            "Write password.txt anew as plain text, the passphrase alone.",
        ),
        Words(
            "Пароль открывает ключ, только если убрать то, что редактор добавил в password.txt: {what}.",
            "alikassa так его не прочтёт, даже если прочтёт одна из программ со страницы.",
            "Сохраните password.txt заново, простым текстом и без лишнего.",
        ),
    ),
    "key.passphrase_wrong": Text(
        Words(
            "The passphrase does not open private.pem.",
            "They are not of one archive, or one of them is damaged.",
            "Take password.txt and private.pem from the same archive.",
        ),
        Words(
            "Пароль не открывает private.pem.",
            "Они не из одного архива, или один из них повреждён.",
            "Возьмите password.txt и private.pem из одного архива.",
        ),
    ),
    "key.cipher": Text(
        Words(
            "The cipher of private.pem is none that is opened here.",
            "Whether the passphrase is right cannot be told.",
            "Encrypt it anew, with the same passphrase: openssl rsa -aes256 -traditional -in private.pem -out new.pem",
        ),
        Words(
            "Шифр private.pem здесь не открывается.",
            "Верен ли пароль, сказать нельзя.",
            "Зашифруйте заново с тем же паролем: openssl rsa -aes256 -traditional -in private.pem -out new.pem",
        ),
    ),
    "key.damaged": Text(
        Words(
            "private.pem cannot be read.", "The file is damaged or of an unknown format.", "Unpack the archive again."
        ),
        Words("private.pem не читается.", "Файл повреждён или в неизвестном формате.", "Распакуйте архив заново."),
    ),
    "key.not_rsa": Text(
        Words(
            "The private key is not an RSA key ({kind}).",
            "The provider verifies RSA signatures only.",
            "Take the key that came with the certificate, or make one: alikassa keygen DIR",
        ),
        Words(
            "Закрытый ключ не RSA ({kind}).",
            "Провайдер проверяет только подписи RSA.",
            "Возьмите ключ, который пришёл с сертификатом, или создайте: alikassa keygen DIR",
        ),
    ),
    "key.size": Text(
        Words("The RSA key has {bits} bits.", "2048 to 8192 are accepted.", "Make one: alikassa keygen DIR"),
        Words("В ключе RSA {bits} бит.", "Принимаются от 2048 до 8192.", "Создайте другой: alikassa keygen DIR"),
    ),
    "key.rsa": Text(
        Words("RSA {bits}, fingerprint {fingerprint}.", "Compare it with what is registered."),
        Words("RSA {bits}, отпечаток {fingerprint}.", "Сравните его с зарегистрированным."),
    ),
    "key.public_belongs": Text(
        Words("public.pem belongs to private.pem."), Words("public.pem подходит к private.pem.")
    ),
    "key.public_other": Text(
        Words(
            "public.pem is of another key (fingerprint {fingerprint}).",
            "If it is the one registered, every signature is refused.",
            "Take both files from the same archive: openssl rsa -in private.pem -pubout shows the right one.",
        ),
        Words(
            "public.pem от другого ключа (отпечаток {fingerprint}).",
            "Если зарегистрирован он, любая подпись будет отклонена.",
            "Возьмите оба файла из одного архива: openssl rsa -in private.pem -pubout покажет верный.",
        ),
    ),
    "key.public_of_payment": Text(
        Words(
            "public.pem is that of the payment archive.",
            "The files of the two archives are mixed up.",
            "Unpack both archives again, each into a folder of its own.",
        ),
        Words(
            "public.pem из архива для приёма платежей.",
            "Файлы двух архивов перепутаны.",
            "Распакуйте оба архива заново, каждый в свою папку.",
        ),
    ),
    "key.public_certificate": Text(
        Words(
            "public.pem holds {form}, not a public key.",
            "The cabinet expects BEGIN PUBLIC KEY.",
            "openssl rsa -in private.pem -pubout -out public.pem",
        ),
        Words(
            "В public.pem не открытый ключ: {form}.",
            "Кабинет ждёт BEGIN PUBLIC KEY.",
            "openssl rsa -in private.pem -pubout -out public.pem",
        ),
    ),
    "key.same_as_payment": Text(
        Words(
            "Both archives hold the same key.",
            "One of them was copied over the other.",
            "Unpack both again; the balance request takes the payout one.",
        ),
        Words(
            "В обоих архивах один и тот же ключ.",
            "Один скопирован поверх другого.",
            "Распакуйте оба заново; баланс запрашивают ключом для выплат.",
        ),
    ),
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
    "server.accepted": Text(
        Words("The server takes the request: {digest}, body {body}."),
        Words("Сервер принимает запрос: {digest}, тело {body}."),
    ),
    "server.takes": Text(Words("It takes: {takes}."), Words("Он принимает: {takes}.")),
    "server.limited": Text(
        Words(
            "The server asks to come back later (429).",
            "Nothing more was asked.",
            "Ask less often; run the doctor again in a while.",
        ),
        Words(
            "Сервер просит прийти позже (429).",
            "Больше запросов не было.",
            "Спрашивайте реже; запустите проверку позже.",
        ),
    ),
    "server.failed": Text(
        Words("The server failed ({status}).", "It is not about your key.", "Wait and ask again, or ask the provider."),
        Words(
            "Ошибка на сервере ({status}).", "Дело не в вашем ключе.", "Подождите и повторите или спросите провайдера."
        ),
    ),
    "server.not_api": Text(
        Words(
            "What answered is not the API ({status}, {kind}).",
            "A login page, a proxy, or another address.",
            "Check the base URL: {url}",
        ),
        Words(
            "Ответил не API ({status}, {kind}).",
            "Страница входа, прокси или другой адрес.",
            "Проверьте базовый адрес: {url}",
        ),
    ),
    "server.forbidden": Text(
        Words(
            "The server, or what stands before it, lets nobody in from here ({status}).",
            "This machine's address may not be on a list, or a firewall or proxy answers.",
            "Ask the provider whether this machine's address has to be allowed; check the base URL.",
        ),
        Words(
            "Сервер, или то, что перед ним, отсюда не пускает ({status}).",
            "Адреса этой машины может не быть в списке, или отвечает межсетевой экран или прокси.",
            "Спросите провайдера, нужно ли разрешить адрес этой машины; проверьте базовый адрес.",
        ),
    ),
    "server.no_balance": Text(
        Words(
            "What the server answers is no balance: {problem}",
            "The key is not refused. The answer is broken, too large, or of another kind than is known.",
            "{remedy}",
        ),
        Words(
            "Ответ сервера не баланс: {problem}",
            "Ключ не отклонён. Ответ испорчен, слишком велик или неизвестного вида.",
            "{remedy}",
        ),
    ),
    "refused.digest": Text(
        Words(
            "The server takes {right}, and {wrong} is set.",
            "The key and the account are right.",
            "Set it: --digest {right}",
        ),
        Words("Сервер принимает {right}, а задан {wrong}.", "Ключ и счёт верны.", "Задайте: --digest {right}"),
    ),
    "refused.body": Text(
        Words(
            "The server takes the body {right}, and {wrong} is set.",
            "The key and the account are right.",
            "Set it: --body '{right}'",
        ),
        Words("Сервер принимает тело {right}, а задано {wrong}.", "Ключ и счёт верны.", "Задайте: --body '{right}'"),
    ),
    "refused.payment": Text(
        Words(
            "The server takes the key of {path}, and not that of {keys}.",
            "The two archives are mixed up: this one is registered for payouts.",
            "Use it: --keys {path}",
        ),
        Words(
            "Сервер принимает ключ из {path}, а не из {keys}.",
            "Два архива перепутаны: для выплат зарегистрирован этот.",
            "Используйте его: --keys {path}",
        ),
    ),
    "refused.account": Text(
        Words(
            "The server refuses the account {account}: {said}",
            "It does not know it, or does not let it ask.",
            "Compare it with the cabinet, section «Счета» (Accounts).",
        ),
        Words(
            "Сервер отклонил счёт {account}: {said}",
            "Он его не знает или не разрешает ему запрос.",
            "Сверьте его с кабинетом, раздел «Счета».",
        ),
    ),
    "refused.request": Text(
        Words(
            "The server refuses the request: {said}",
            "It is not about the signature.",
            "If it names content_type or body, a proxy may change the request on its way.",
        ),
        Words(
            "Сервер отклонил запрос: {said}",
            "Дело не в подписи.",
            "Если названо content_type или body, запрос мог изменить прокси.",
        ),
    ),
    "refused.sign": Text(
        Words("The server refuses every signature of this key: {said}", "One of these, likeliest first:", ""),
        Words("Сервер отклоняет любую подпись этого ключа: {said}", "Одно из этого, начиная с вероятного:", ""),
    ),
    "refused.maybe_payment": Text(
        Words("It is the payment certificate's key.", "", "Tell apart: alikassa doctor --payment-keys DIR"),
        Words("Это ключ сертификата для приёма платежей.", "", "Проверка: alikassa doctor --payment-keys DIR"),
    ),
    "refused.maybe_other_key": Text(
        Words(
            "Another key is registered, or none.",
            "",
            "Tell apart: compare the fingerprint {fingerprint} with the cabinet.",
        ),
        Words(
            "Зарегистрирован другой ключ или никакого.", "", "Проверка: сверьте отпечаток {fingerprint} с кабинетом."
        ),
    ),
    "refused.maybe_revoked": Text(
        Words(
            "The certificate was revoked.", "", "Tell apart: look at its state in the cabinet, section «Ключи» (Keys)."
        ),
        Words("Сертификат отозван.", "", "Проверка: посмотрите его состояние в кабинете, раздел «Ключи»."),
    ),
    "refused.maybe_account": Text(
        Words(
            "The account {account} is unknown, or another merchant's.", "", "Tell apart: compare it with the cabinet."
        ),
        Words("Счёт {account} неизвестен или принадлежит другому.", "", "Проверка: сверьте его с кабинетом."),
    ),
}
