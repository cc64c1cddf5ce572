"""What is said of settings, files and keys."""

from __future__ import annotations

from alikassa.doctor.words import Text, Words

__all__ = ["FILES"]

FILES: dict[str, Text] = {
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
}
