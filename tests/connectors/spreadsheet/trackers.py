"""One small tracker in each of many languages: headers, stages, units, months, totals and code pages as people there write them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tracker:
    """A file, and what a person reads in its first deal and in its second, which is won."""

    locale: str | None
    encoding: str
    text: str
    name: str | None
    company: str | None
    amount: str
    currency: str | None
    probability: float | None
    closes: str
    owner: str | None
    won_amount: str
    won_closes: str


TRACKERS = {
    "Polish": Tracker(
        "pl_PL",
        "cp1250",
        "Lp.;Nazwa szansy;Klient;Etap;Wartość (tys. zł);Prawdopodobieństwo;Planowana data zamknięcia;Handlowiec\n"
        "1;Wdrożenie ERP;Łódź S.A.;Negocjacje;1 250,5;60%;30.09.2024;Anna Żak\n"
        "2;Serwis;Góra sp. z o.o.;Wygrana;80;100%;01.07.2024;Piotr\n"
        ";;;Razem;1330,5;;;\n",
        "Wdrożenie ERP",
        "Łódź S.A.",
        "1250500.0",
        "PLN",
        0.6,
        "2024-09-30",
        "anna żak",
        "80000",
        "2024-07-01",
    ),
    "Czech": Tracker(
        "cs_CZ",
        "cp1250",
        "Název zakázky;Zákazník;Fáze;Hodnota;Pravděpodobnost;Předpokládané uzavření;Obchodník\n"
        "Web;Škoda;Nabídka odeslána;120 000 Kč;50 %;12. 6. 2024;Jiří\n"
        "Audit;ČEZ;Vyhráno;1 200 000,50 Kč;100 %;30. 6. 2024;Eva\n"
        "Celkem;;;1 320 000,50 Kč;;;\n",
        "Web",
        "Škoda",
        "120000",
        "CZK",
        0.5,
        "2024-06-12",
        "jiří",
        "1200000.50",
        "2024-06-30",
    ),
    "Russian": Tracker(
        "ru_RU",
        "cp1251",
        "№;Сделка;Компания;Этап;Сумма, тыс. руб.;Вероятность;Дата создания;Ожидаемая дата закрытия;Ответственный\n"
        "1;Поставка;ООО Ромашка;Переговоры;1500,5;50;01.02.2024;15.03.2024;Иванов\n"
        "2;Сервис;АО Лютик;Успешно реализовано;200;100;05.02.2024;20.03.2024;Петров\n"
        "Итого;;;;1700,5;;;;\n",
        "Поставка",
        "ООО Ромашка",
        "1500500.0",
        "RUB",
        0.5,
        "2024-03-15",
        "иванов",
        "200000",
        "2024-03-20",
    ),
    "Ukrainian": Tracker(
        "uk_UA",
        "utf-16",
        "Угода\tКлієнт\tСтадія\tСума\tДата закриття\tМенеджер\n"
        "Постачання\tТОВ Волошка\tПереговори\t150 тис. грн\t15 березня 2024\tОлена\n"
        "Сервіс\tПАТ Мак\tВиграно\t2,5 млн грн\t20 квітня 2024\tІван\n",
        "Постачання",
        "ТОВ Волошка",
        "150000",
        "UAH",
        None,
        "2024-03-15",
        "олена",
        "2500000.0",
        "2024-04-20",
    ),
    "Turkish": Tracker(
        "tr_TR",
        "cp1254",
        "FIRSAT ADI;MÜŞTERİ;AŞAMA;TUTAR;KAPANIŞ TARİHİ;SATIŞ TEMSİLCİSİ\n"
        "Kurulum;İstanbul A.Ş.;TEKLİF GÖNDERİLDİ;1.250.000,00 TL;25.12.2024;Ayşe\n"
        "Bakım;Ankara Ltd;Kazanıldı;80.500,50 TL;01.11.2024;Mehmet\n"
        "GENEL TOPLAM;;;1.330.500,50 TL;;\n",
        "Kurulum",
        "İstanbul A.Ş.",
        "1250000.00",
        "TRY",
        None,
        "2024-12-25",
        "ayşe",
        "80500.50",
        "2024-11-01",
    ),
    "Japanese": Tracker(
        "ja_JP",
        "cp932",
        "案件名,顧客名,フェーズ,金額(千円),確度,受注予定日,担当者\n"
        'サーバー更改,株式会社山田,提案,"12,500",60%,2024/9/30,佐藤\n'
        "保守,田中商事,受注,800,100%,2024/6/15,鈴木\n"
        '合計,,,"13,300",,,\n',
        "サーバー更改",
        "株式会社山田",
        "12500000",
        "JPY",
        0.6,
        "2024-09-30",
        "佐藤",
        "800000",
        "2024-06-15",
    ),
    "Chinese": Tracker(
        "zh_CN",
        "gb18030",
        "序号,商机名称,客户名称,销售阶段,预计金额（万元）,赢率,预计成交日期,负责人\n"
        "1,ERP项目,华为,方案报价,125.5,60%,2024年9月30日,张三\n"
        "2,运维,中兴,赢单,80,100%,2024年6月15日,李四\n"
        "合计,,,,205.5,,,\n",
        "ERP项目",
        "华为",
        "1255000.0",
        "CNY",
        0.6,
        "2024-09-30",
        "张三",
        "800000",
        "2024-06-15",
    ),
    "Chinese of Taiwan": Tracker(
        None,
        "utf-8",
        "專案名稱,客戶,階段,金額,成交機率,預計結案日期,業務\n"
        '官網,台積電,報價,"NT$1,250,000",60%,2024/09/30,王小明\n'
        '維護,鴻海,贏單,"NT$80,000",100%,2024/06/15,李大華\n',
        "官網",
        "台積電",
        "1250000",
        "TWD",
        0.6,
        "2024-09-30",
        "王小明",
        "80000",
        "2024-06-15",
    ),
    "Korean": Tracker(
        "ko_KR",
        "utf-8",
        "번호,프로젝트명,고객사,영업단계,예상금액,확률,예상마감일,담당자\n"
        "1,서버 구축,삼성,제안,1억 2천만원,60%,2024. 9. 30.,김철수\n"
        "2,유지보수,LG,수주,8000만원,100%,2024. 6. 15.,이영희\n"
        "합계,,,,2억원,,,\n",
        "서버 구축",
        "삼성",
        "120000000",
        "KRW",
        0.6,
        "2024-09-30",
        "김철수",
        "80000000",
        "2024-06-15",
    ),
    "Thai": Tracker(
        "th_TH",
        "utf-8",
        "ชื่อดีล,ลูกค้า,สถานะ,มูลค่า (ล้านบาท),โอกาสปิด,วันที่คาดว่าจะปิด,พนักงานขาย\n"
        "ติดตั้ง ERP,บริษัท กขค,เสนอราคา,1.25,60%,30/09/2567,สมชาย\n"
        "บำรุงรักษา,บริษัท งจ,ชนะ,0.8,100%,15 มิ.ย. 67,สมหญิง\n"
        "รวม,,,2.05,,,\n",
        "ติดตั้ง ERP",
        "บริษัท กขค",
        "1250000.00",
        "THB",
        0.6,
        "2024-09-30",
        "สมชาย",
        "800000.0",
        "2024-06-15",
    ),
    "Vietnamese": Tracker(
        "vi_VN",
        "utf-8",
        "STT,Tên cơ hội,Khách hàng,Giai đoạn,Giá trị,Xác suất,Ngày dự kiến chốt,Người phụ trách\n"
        "1,Phần mềm,Công ty A,Báo giá,500 triệu,60%,30/09/2024,Lan\n"
        '2,Bảo trì,Công ty B,Thành công,"1,5 tỷ",100%,15/06/2024,Minh\n'
        "Tổng cộng,,,,2 tỷ,,,\n",
        "Phần mềm",
        "Công ty A",
        "500000000",
        None,
        0.6,
        "2024-09-30",
        "lan",
        "1500000000.0",
        "2024-06-15",
    ),
    "Arabic": Tracker(
        "ar_SA",
        "utf-8",
        "اسم الصفقة,العميل,المرحلة,القيمة,الاحتمالية,تاريخ الإغلاق المتوقع,المسؤول\n"
        'نظام,شركة أ,تفاوض,"١٬٢٥٠٬٠٠٠ ر.س",٦٠٪,٣٠/٠٩/٢٠٢٤,أحمد\n'
        'صيانة,شركة ب,فوز,"٨٠٬٠٠٠ ر.س",١٠٠٪,١٥/٠٦/٢٠٢٤,سارة\n'
        "المجموع,,,١٬٣٣٠٬٠٠٠,,,\n",
        "نظام",
        "شركة أ",
        "1250000",
        "SAR",
        0.6,
        "2024-09-30",
        "أحمد",
        "80000",
        "2024-06-15",
    ),
    "Hebrew": Tracker(
        "he_IL",
        "cp1255",
        "שם העסקה,לקוח,שלב,סכום,סיכוי,תאריך סגירה צפוי,אחראי\n"
        'הקמה,חברה א,משא ומתן,"₪1,250,000.50",60%,30/09/2024,דנה\n'
        'תחזוקה,חברה ב,נסגר בהצלחה,"₪80,000",100%,15/06/2024,יוסי\n'
        '"סה""כ",,,"₪1,330,000.50",,,\n',
        "הקמה",
        "חברה א",
        "1250000.50",
        "ILS",
        0.6,
        "2024-09-30",
        "דנה",
        "80000",
        "2024-06-15",
    ),
    "Hindi": Tracker(
        "hi_IN",
        "utf-8",
        "सौदे का नाम,ग्राहक,चरण,राशि,संभावना,अपेक्षित समापन तिथि,मालिक\n"
        'परियोजना,टाटा,बातचीत,"₹12,50,000",60%,30 सितंबर 2024,राम\n'
        'रखरखाव,बिरला,जीता,"₹ 80,000",100%,15 जून 2024,सीता\n'
        'कुल,,,"₹13,30,000",,,\n',
        "परियोजना",
        "टाटा",
        "1250000",
        "INR",
        0.6,
        "2024-09-30",
        "राम",
        "80000",
        "2024-06-15",
    ),
    "Greek": Tracker(
        "el_GR",
        "cp1253",
        "Έργο;Πελάτης;Στάδιο;Αξία;Πιθανότητα;Αναμενόμενο κλείσιμο;Υπεύθυνος\n"
        "Εγκατάσταση;Α.Ε. Ελλάς;Διαπραγμάτευση;12.500,50 €;60%;30/9/2024;Νίκος\n"
        "Συντήρηση;ΟΠΑΠ;Κερδισμένη;8.000,00 €;100%;15/6/2024;Μαρία\n"
        "Σύνολο;;;20.500,50 €;;;\n",
        "Εγκατάσταση",
        "Α.Ε. Ελλάς",
        "12500.50",
        "EUR",
        0.6,
        "2024-09-30",
        "νίκοσ",
        "8000.00",
        "2024-06-15",
    ),
    "Romanian": Tracker(
        "ro_RO",
        "utf-8",
        "Oportunitate;Client;Etapă;Valoare (mii lei);Probabilitate;Data estimată de închidere;Responsabil\n"
        "Instalare;Dacia;Negociere;1.250,5;60%;30.09.2024;Ion\n"
        "Mentenanță;Petrom;Câștigat;80;100%;15.06.2024;Ana\n",
        "Instalare",
        "Dacia",
        "1250500.0",
        "RON",
        0.6,
        "2024-09-30",
        "ion",
        "80000",
        "2024-06-15",
    ),
    "Hungarian": Tracker(
        "hu_HU",
        "cp1250",
        "Sorszám;Ügylet neve;Ügyfél;Fázis;Érték;Valószínűség;Várható zárás;Felelős\n"
        "1;Telepítés;MOL;Tárgyalás;12 500 000 Ft;60%;2024.09.30.;Béla\n"
        "2;Karbantartás;OTP;Megnyert;8 000 000 Ft;100%;2024.06.15.;Éva\n"
        ";Összesen;;;20 500 000 Ft;;;\n",
        "Telepítés",
        "MOL",
        "12500000",
        "HUF",
        0.6,
        "2024-09-30",
        "béla",
        "8000000",
        "2024-06-15",
    ),
    "Swedish": Tracker(
        "sv_SE",
        "cp1252",
        "Affär;Kund;Säljfas;Ordervärde (tkr);Sannolikhet;Förväntat avslut;Säljare\n"
        "Installation;Volvo;Förhandling;1 250;60 %;2024-09-30;Åsa\n"
        "Service;Ericsson;Vunnen;80;100 %;2024-06-15;Örjan\n"
        "Summa;;;1 330;;;\n",
        "Installation",
        "Volvo",
        "1250000",
        None,
        0.6,
        "2024-09-30",
        "åsa",
        "80000",
        "2024-06-15",
    ),
    "Danish": Tracker(
        None,
        "utf-8",
        "Salgsmulighed;Kunde;Fase;Beløb;Sandsynlighed;Forventet lukkedato;Ansvarlig\n"
        "Installation;Novo;Forhandling;kr. 1.250.000,00;60 %;30-09-2024;Søren\n"
        "Service;Carlsberg;Vundet;kr. 80.000,00;100 %;15-06-2024;Åge\n"
        "I alt;;;kr. 1.330.000,00;;;\n",
        "Installation",
        "Novo",
        "1250000.00",
        None,
        0.6,
        "2024-09-30",
        "søren",
        "80000.00",
        "2024-06-15",
    ),
    "Finnish": Tracker(
        None,
        "utf-8",
        "Myyntimahdollisuus;Asiakas;Vaihe;Arvo;Todennäköisyys;Arvioitu päätöspäivä;Vastuuhenkilö\n"
        "Asennus;Nokia;Neuvottelu;1 250 000,00 €;60 %;30.9.2024;Väinö\n"
        "Huolto;Kone;Voitettu;80 000,00 €;100 %;15.6.2024;Aino\n"
        "Yhteensä;;;1 330 000,00 €;;;\n",
        "Asennus",
        "Nokia",
        "1250000.00",
        "EUR",
        0.6,
        "2024-09-30",
        "väinö",
        "80000.00",
        "2024-06-15",
    ),
    "Dutch": Tracker(
        None,
        "utf-8",
        "Projectnaam;Klant;Fase;Bedrag;Kans %;Verwachte sluitdatum;Verkoper\n"
        "Installatie;Philips;Onderhandeling;€ 12.500,50;60;30-9-2024;Jan\n"
        "Onderhoud;Shell;Gewonnen;€ 8.000,00;100;15-6-2024;Piet\n"
        "Totaal;;;€ 20.500,50;;;\n",
        "Installatie",
        "Philips",
        "12500.50",
        "EUR",
        0.6,
        "2024-09-30",
        "jan",
        "8000.00",
        "2024-06-15",
    ),
    "Italian": Tracker(
        None,
        "utf-8",
        "Trattativa;Cliente;Fase;Importo;Probabilità;Data chiusura prevista;Agente\n"
        "Installazione;Fiat;Negoziazione;€ 12.500,50;60%;30/09/2024;Luca\n"
        "Manutenzione;Eni;Vinto;€ 8.000,00;100%;15/06/2024;Anna\n"
        "Totale;;;€ 20.500,50;;;\n",
        "Installazione",
        "Fiat",
        "12500.50",
        "EUR",
        0.6,
        "2024-09-30",
        "luca",
        "8000.00",
        "2024-06-15",
    ),
    "Spanish in capitals": Tracker(
        "es_MX",
        "cp1252",
        "FOLIO;CLIENTE;NEGOCIACION;ETAPA;MONTO;PROB.;FECHA DE CIERRE;EJECUTIVO\n"
        "F-1;Cemex;Instalación;NEGOCIACION;$1,250,000.00;60%;30/09/2024;LUIS\n"
        "F-2;Bimbo;Mantenimiento;GANADO;$80,000.00;100%;15/06/2024;ANA\n"
        "TOTAL GENERAL;;;;$1,330,000.00;;;\n",
        "Instalación",
        "Cemex",
        "1250000.00",
        "MXN",
        0.6,
        "2024-09-30",
        "luis",
        "80000.00",
        "2024-06-15",
    ),
    "Portuguese": Tracker(
        "pt_BR",
        "utf-8",
        "Negócio;Empresa;Etapa do funil;Valor (R$ mil);Probabilidade;Previsão de fechamento;Responsável;Situação\n"
        "Instalação;Embraer;Negociação;1.250,50;60%;30/09/2024;João;Aberto\n"
        "Manutenção;Vale;Fechado ganho;80,00;100%;15/06/2024;Ana;Ganho\n",
        "Instalação",
        "Embraer",
        "1250500.00",
        "BRL",
        0.6,
        "2024-09-30",
        "joão",
        "80000.00",
        "2024-06-15",
    ),
    "Malay": Tracker(
        None,
        "utf-8",
        "Nama projek,Pelanggan,Peringkat,Nilai (RM),Kebarangkalian,Jangkaan tutup,Wakil jualan\n"
        'Pemasangan,Petronas,Rundingan,"RM1,250,000.00",60%,30 Ogos 2024,Ali\n'
        'Servis,Maybank,Menang,"RM80,000.00",100%,15 Jun 2024,Siti\n'
        'Jumlah,,,"RM1,330,000.00",,,\n',
        "Pemasangan",
        "Petronas",
        "1250000.00",
        "MYR",
        0.6,
        "2024-08-30",
        "ali",
        "80000.00",
        "2024-06-15",
    ),
    "Norwegian": Tracker(
        "nb_NO",
        "utf-8",
        "Avtale;Bedrift;Salgsfase;Verdi (MNOK);Sannsynlighet;Forventet lukking;Selger\n"
        "Installasjon;Equinor;Forhandling;1,25;60 %;30.09.2024;Kåre\n"
        "Service;Telenor;Vunnet;0,8;100 %;15.06.2024;Siri\n",
        "Installasjon",
        "Equinor",
        "1250000.00",
        "NOK",
        0.6,
        "2024-09-30",
        "kåre",
        "800000.0",
        "2024-06-15",
    ),
    "French": Tracker(
        None,
        "cp1252",
        "Affaire;Société;Étape;Montant HT;Proba;Date de signature prévue;Commercial\n"
        "Installation;Renault;Négociation;12 500,50 €;60 %;30/09/2024;Zoé\n"
        "Maintenance;Orange;Gagnée;8 000 €;100 %;15/06/2024;Éric\n"
        "Total général;;;20 500,50 €;;;\n",
        "Installation",
        "Renault",
        "12500.50",
        "EUR",
        0.6,
        "2024-09-30",
        "zoé",
        "8000",
        "2024-06-15",
    ),
}
